"""Every check of a chunk of annotations: what is wrong, with which, and why."""

from collections.abc import Callable

import numpy as np

from lvistk.data.index.annotation_chunk import AnnotationChunk
from lvistk.data.index.defects import Defect
from lvistk.data.index.mask_facts import MaskFacts, mask_facts
from lvistk.masks import rle

OUTSIDE_PIXELS = 1.0
"""A box may leave its image by so much (ours: rounding, and annotation tools that count edges)."""
FAR_PIXELS = 2.0
FAR_SHARE = 0.1
"""A box is far from its mask when a side is off by more than both: pixels, share of the box's longer
side (ours)."""


def check_annotations(
    chunk: AnnotationChunk, *, source: int, sizes: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, list[Defect]]:
    """Which of N annotations are sound (N,) bool, and the defects of the others.

    ``sizes (N, 2)`` are height and width of the image, 0 where the image id is unknown; ``labels
    (N,)`` are -1 where the category id is.
    """
    sound = np.ones(len(chunk), bool)
    defects: list[Defect] = []

    def report(kind: str, wrong: np.ndarray, reason: Callable[[int], str]) -> None:
        for place in np.flatnonzero(wrong).tolist():
            number = int(chunk.ids[place])
            defects.append(Defect(source, "annotation", number, kind, reason(place)))
        sound[wrong] = False

    facts = mask_facts(chunk, sizes)
    image_ids, category_ids = chunk.image_ids, chunk.category_ids
    report("unknown_image", sizes[:, 0] == 0, lambda n: f"image {image_ids[n]} is not in the file")
    report(
        "unknown_category", labels < 0, lambda n: f"category {category_ids[n]} is not in the file"
    )
    report("crowd", chunk.crowd, lambda _: "is a crowd region (iscrowd), not an instance")
    for place, (kind, text) in sorted(facts.faults.items()):
        defects.append(Defect(source, "annotation", int(chunk.ids[place]), kind, text))
        sound[place] = False
    for kind, wrong, reason in _box_checks(chunk.boxes, sizes, facts):
        report(kind, wrong, reason)
    return sound, defects


def fill_areas(chunk: AnnotationChunk, sizes: np.ndarray) -> int:
    """Compute the areas that the file lacks, as COCO rasterises the union; returns how many.

    LVIS's own ``area`` is taken where it is there and no larger than the image. All masks must be sound.
    """
    pixels = sizes.astype(np.float64).prod(axis=1)
    lacking = np.flatnonzero(np.isnan(chunk.areas) | (chunk.areas > pixels))
    for place in lacking.tolist():
        mask = chunk.masks.rle[place]
        size = (int(sizes[place, 0]), int(sizes[place, 1]))
        counts = mask.counts if mask else rle.from_polygons(chunk.masks.polygons.parts(place), size)
        chunk.areas[place] = rle.areas([counts], size)[0]
    return len(lacking)


def _box_checks(
    boxes: np.ndarray, sizes: np.ndarray, facts: MaskFacts
) -> list[tuple[str, np.ndarray, Callable[[int], str]]]:
    height, width = sizes[:, 0], sizes[:, 1]
    finite = np.isfinite(boxes).all(axis=1)
    flat = ~finite | (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    limits = np.stack([width, height], axis=1)
    excess = np.maximum(-boxes[:, :2], boxes[:, 2:] - limits).max(axis=1, initial=0)
    outside = ~flat & (height > 0) & (excess > OUTSIDE_PIXELS)
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    off = np.abs(boxes - facts.boxes).max(axis=1, initial=0)
    far = ~flat & (facts.areas > 0) & (off > np.maximum(FAR_PIXELS, FAR_SHARE * longer))
    return [
        ("degenerate_box", flat, lambda n: f"its box {_xywh(boxes[n])} has no area"),
        (
            "box_outside",
            outside,
            lambda n: f"its box {_xywh(boxes[n])} leaves the image of {width[n]} x {height[n]}",
        ),
        (
            "box_far",
            far,
            lambda n: f"its box {_xywh(boxes[n])} is far from its mask at {_xywh(facts.boxes[n])}",
        ),
    ]


def _xywh(box: np.ndarray) -> str:
    """A box as the JSON writes it."""
    sides = (box[0], box[1], box[2] - box[0], box[3] - box[1])
    return "[" + ", ".join(f"{side:.6g}" for side in sides) + "]"
