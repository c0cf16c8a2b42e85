"""The ground truth as flat arrays: what an evaluation asks of an annotation file."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class GroundTruthArrays(NamedTuple):
    """What compiled code reads. I images (ascending id), C categories (ascending id), G ground ground
    truth instances, S slots.

    A slot is an (image, category) pair that is judged: there is a ground truth instance of that
    category, or it is
    verified absent. Detections of other pairs say nothing (federated annotation). Slots are ordered by
    image, then category; ground truth instances by slot, then as in the file.
    """

    image_ids: np.ndarray
    """(I,) int64"""
    heights: np.ndarray
    """(I,) int32"""
    widths: np.ndarray
    """(I,) int32"""
    category_ids: np.ndarray
    """(C,) int64"""
    slot_rows: np.ndarray
    """(I + 1,) int64: slots of image i are slot_rows[i]:slot_rows[i + 1]"""
    slot_categories: np.ndarray
    """(S,) int32"""
    slot_gts: np.ndarray
    """(S + 1,) int64: ground truth instances of slot s are slot_gts[s]:slot_gts[s + 1]"""
    slot_open: np.ndarray
    """(S,) bool: not exhaustively annotated, an unmatched detection is no false positive"""
    ids: np.ndarray
    """(G,) int64 annotation ids"""
    areas: np.ndarray
    """(G,) float64, the file's ``area``"""
    boxes: np.ndarray
    """(G, 4) float64, the file's box: x, y, width, height"""
    ignored: np.ndarray
    """(G,) bool, the file's ``ignore``"""
    span_rows: np.ndarray
    """(G + 1,) int64: spans of ground truth g are span_rows[g]:span_rows[g + 1]; all zero without masks"""
    span_starts: np.ndarray
    """(spans,) uint32"""
    span_stops: np.ndarray
    """(spans,) uint32"""
    mask_areas: np.ndarray
    """(G,) int64 pixels"""
    mask_boxes: np.ndarray
    """(G, 4) int32 tight box of the mask: x, y, width, height"""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """``arrays``, and what only reports need; ``frequency (C,)`` is 'r', 'c', 'f' or ''."""

    arrays: GroundTruthArrays
    names: tuple[str, ...]
    frequency: np.ndarray
    image_counts: np.ndarray
    """(C,) int64, training images by the file's own field; -1 where it has none"""
    has_masks: bool
    areas_given: bool
    """whether the file tells the area of every annotation; else it depends on ``has_masks``"""
    warnings: tuple[str, ...]

    @property
    def gt_images(self) -> np.ndarray:
        """(G,) int64 image rows of the ground truth instances."""
        return slot_images(self.arrays)[self.gt_slots]

    @property
    def gt_slots(self) -> np.ndarray:
        """(G,) int64 slots of the ground truth instances."""
        counts = np.diff(self.arrays.slot_gts)
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def gt_categories(self) -> np.ndarray:
        """(G,) int32 category rows of the ground truth instances."""
        return self.arrays.slot_categories[self.gt_slots]

    @property
    def area_ratios(self) -> np.ndarray:
        """(G,) float64 mask area over the area of its tight box; 0 for an empty mask."""
        sides = self.arrays.mask_boxes.astype(np.float64)
        return self.arrays.mask_areas / np.maximum(sides[:, 2] * sides[:, 3], 1)


def slot_images(arrays: GroundTruthArrays) -> np.ndarray:
    """(S,) int64 image rows of the slots."""
    return np.repeat(np.arange(len(arrays.image_ids)), np.diff(arrays.slot_rows))


class Annotations(NamedTuple):
    """Annotations of the file in its order, A of them, with rows instead of ids."""

    ids: np.ndarray
    images: np.ndarray
    categories: np.ndarray
    areas: np.ndarray
    computed: np.ndarray
    """(A,) bool, whether the file lacks the area"""
    boxless: np.ndarray
    """(A,) bool, whether the file lacks the box"""
    dropped: np.ndarray
    """(n,) int64, parts left out of masks"""
    boxes: np.ndarray
    ignored: np.ndarray
    span_counts: np.ndarray
    span_starts: np.ndarray
    span_stops: np.ndarray
    mask_areas: np.ndarray
    mask_boxes: np.ndarray


class Lists(NamedTuple):
    """A category list of every image: rows of images and of categories, in pairs."""

    images: np.ndarray
    categories: np.ndarray


def arrange(
    annotations: Annotations,
    *,
    image_ids: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    category_ids: np.ndarray,
    negative: Lists,
    not_exhaustive: Lists,
) -> GroundTruthArrays:
    """Ground truth instances sorted into slots. Annotations whose area is not above zero are no
    ground truth instances (lvis-api)."""
    count = len(category_ids)
    kept = np.flatnonzero((annotations.areas > 0) & (annotations.areas < np.inf))
    keys = annotations.images[kept].astype(np.int64) * count + annotations.categories[kept]
    order = np.argsort(keys, kind="stable")
    keys, kept = keys[order], kept[order]
    slots = np.union1d(keys, negative.images * count + negative.categories)
    images, categories = np.divmod(slots, max(count, 1))
    span_rows, starts, stops = _gather_spans(annotations, kept)
    return GroundTruthArrays(
        image_ids=image_ids,
        heights=heights,
        widths=widths,
        category_ids=category_ids,
        slot_rows=np.searchsorted(images, np.arange(len(image_ids) + 1)),
        slot_categories=categories.astype(np.int32),
        slot_gts=np.append(np.searchsorted(keys, slots), len(keys)),
        slot_open=_members(slots, not_exhaustive.images * count + not_exhaustive.categories),
        ids=annotations.ids[kept],
        areas=annotations.areas[kept],
        boxes=annotations.boxes[kept],
        ignored=annotations.ignored[kept],
        span_rows=span_rows,
        span_starts=starts,
        span_stops=stops,
        mask_areas=annotations.mask_areas[kept],
        mask_boxes=annotations.mask_boxes[kept],
    )


def _members(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the ascending ``values`` are ``wanted``."""
    member = np.zeros(len(values), bool)
    offsets = np.searchsorted(values, wanted)
    inside = offsets < len(values)
    offsets, wanted = offsets[inside], wanted[inside]
    member[offsets[values[offsets] == wanted]] = True
    return member


def _gather_spans(
    annotations: Annotations, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, starts and stops of the spans of the annotations ``kept``, in that order."""
    first = np.concatenate([[0], np.cumsum(annotations.span_counts)])
    counts = annotations.span_counts[kept]
    rows = np.concatenate([[0], np.cumsum(counts)])
    if np.array_equal(kept, np.arange(len(annotations.ids))):
        return rows, annotations.span_starts, annotations.span_stops
    offsets = np.repeat(first[kept] - rows[:-1], counts) + np.arange(rows[-1])
    return rows, annotations.span_starts[offsets], annotations.span_stops[offsets]
