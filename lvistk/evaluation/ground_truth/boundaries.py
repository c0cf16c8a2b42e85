"""Boundaries of all ground truth instances, once, before the detections come."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lvistk.evaluation.ground_truth.arrays import GroundTruth
from lvistk.evaluation.pairs import BoundaryGroundTruth
from lvistk.masks.boundary import boundaries_of_gts, boundary_distances

CHUNK = 2048


def no_boundary() -> BoundaryGroundTruth:
    """What stands in where no boundaries are wanted."""
    numbers, spans = np.zeros(0, np.int64), np.zeros(0, np.uint32)
    return BoundaryGroundTruth(numbers, numbers, spans, spans, numbers)


def boundary_gt(gt: GroundTruth, *, threads: int) -> BoundaryGroundTruth:
    """The boundaries of the ground truth instances' masks."""
    arrays = gt.arrays
    distances = boundary_distances(arrays.heights, arrays.widths)
    images = gt.gt_images
    count = len(arrays.ids)

    def chunk(first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return boundaries_of_gts(
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
    return BoundaryGroundTruth(distances, rows, starts, stops, areas)
