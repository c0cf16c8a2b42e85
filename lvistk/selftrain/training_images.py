"""Training images as the self-training commands meet them: in an index and in a detection store."""

from collections.abc import Mapping

import numpy as np

from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.runs import gather_runs, run_starts
from lvistk.data.store.cut_shard import OF_DETECTIONS, cut_columns
from lvistk.data.store.detection_store import DetectionStore
from lvistk.masks.polygons import starts
from lvistk.selftrain.missing import Detected, Known, Lists


def image_pairs(index: AnnotationIndex, store: DetectionStore) -> np.ndarray:
    """Numbers in the index and rows in the store (K, 2) of images that both have, in the index's order."""
    _, numbers, rows = np.intersect1d(
        index.image_ids, store.image_ids, assume_unique=True, return_indices=True
    )
    order = np.argsort(numbers)
    return np.stack([numbers[order], rows[order]], axis=1)


def numbers_in_index(index: AnnotationIndex, image_ids: np.ndarray) -> np.ndarray:
    """The number in the index of each image id (K,) int64; -1 where the index does not have it."""
    order = np.argsort(index.image_ids, kind="stable")
    rank = np.searchsorted(index.image_ids, image_ids, sorter=order).clip(0, len(order) - 1)
    numbers = order[rank]
    return np.where(index.image_ids[numbers] == image_ids, numbers, -1)


def known_of_images(index: AnnotationIndex, numbers: np.ndarray) -> Known:
    """What is annotated in images ``numbers (I,)`` of the index."""
    row = run_starts(index.row, numbers)
    return Known(
        boxes=gather_runs(index.boxes, index.row, numbers),
        annotated=Lists(gather_runs(index.labels, index.row, numbers), row),
        negative=Lists(*index.listed("negative", numbers)),
        not_exhaustive=Lists(*index.listed("not_exhaustive", numbers)),
    )


def known_of_image(index: AnnotationIndex, i: int) -> Known:
    """What is annotated in image ``i`` of the index."""
    return known_of_images(index, np.array([i]))


def only_images(columns: Mapping[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of a shard with its images at ``chosen (K,)`` ascending, without names and rotations."""
    row, of_images = columns["images/row"], ("images/id", "images/height", "images/width")
    if len(chosen) < len(row) - 1:
        own = np.zeros(len(row) - 1, bool)
        own[chosen] = True
        columns = cut_columns(columns, np.repeat(own, np.diff(row)))
    cut = {name: columns[name] for name in (*OF_DETECTIONS, "rle", "rle_offset") if name in columns}
    cut |= {name: columns[name][chosen] for name in of_images}
    return cut | {"images/row": starts(np.diff(columns["images/row"])[chosen].tolist())}


def detected_of(columns: Mapping[str, np.ndarray]) -> Detected:
    """The detections of a shard's columns."""
    return Detected(
        boxes=columns["box"],
        scores=columns["score"],
        labels=columns["label"],
        row=columns["images/row"],
    )
