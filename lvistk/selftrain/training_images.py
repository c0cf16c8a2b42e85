"""Training images as the self-training commands meet them: in an index and in a detection store."""

from collections.abc import Iterator

import numpy as np

from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store.detection_store import DetectionStore
from lvistk.selftrain.missing import KnownOfImage

PART = 1000
"""Images whose detections are held at once."""


def image_pairs(index: AnnotationIndex, store: DetectionStore) -> np.ndarray:
    """Numbers in the index and rows in the store (K, 2) of images that both have, in the index's order."""
    _, numbers, rows = np.intersect1d(
        index.image_ids, store.image_ids, assume_unique=True, return_indices=True
    )
    order = np.argsort(numbers)
    return np.stack([numbers[order], rows[order]], axis=1)


def in_parts(pairs: np.ndarray) -> Iterator[list[list[int]]]:
    """``pairs`` (K, 2) as lists, ``PART`` at a time; one empty part for K = 0."""
    for first in range(0, max(len(pairs), 1), PART):
        yield pairs[first : first + PART].tolist()


def known_of_image(index: AnnotationIndex, i: int) -> KnownOfImage:
    """What is annotated in image ``i`` of the index."""
    first, last = index.row[i], index.row[i + 1]
    return KnownOfImage(
        boxes=index.boxes[first:last],
        labels=index.labels[first:last],
        negative=index.negative_labels(i),
        not_exhaustive=index.not_exhaustive_labels(i),
    )
