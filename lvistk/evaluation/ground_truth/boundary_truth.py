"""Boundaries of all truths, once, before the detections come."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lvistk.evaluation.ground_truth.truth import Truth
from lvistk.evaluation.pairs import BoundaryTruth
from lvistk.masks.boundary import boundaries_of_truths, boundary_distances

CHUNK = 2048


def no_boundary() -> BoundaryTruth:
    """What stands in where no boundaries are wanted."""
    numbers, spans = np.zeros(0, np.int64), np.zeros(0, np.uint32)
    return BoundaryTruth(numbers, numbers, spans, spans, numbers)


def boundary_truth(truth: Truth, *, threads: int) -> BoundaryTruth:
    """The boundaries of the truths' masks."""
    arrays = truth.arrays
    distances = boundary_distances(arrays.heights, arrays.widths)
    images = truth.truth_images
    count = len(arrays.ids)

    def chunk(first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return boundaries_of_truths(
            arrays.heights,
            images,
            arrays.span_rows,
            arrays.span_starts,
            arrays.span_stops,
            arrays.mask_boxes,
            distances,
            first,
            min(first + CHUNK, count),
        )

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(chunk, range(0, max(count, 1), CHUNK)))
    counts, starts, stops, areas = (np.concatenate(column) for column in zip(*parts, strict=True))
    rows = np.concatenate([[0], np.cumsum(counts)])
    return BoundaryTruth(distances, rows, starts, stops, areas)
