"""Every check of a chunk of annotations: what is wrong, with which, and why."""

from collections.abc import Callable
from typing import NamedTuple

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
AREA_SHARE = 0.5
"""An area is wrong when it is off by more than this share plus half the box's circumference, which is what
rasterising changes (ours: LVIS subtracts holes that polygons do not have, by up to a third of the area)."""


class Checked(NamedTuple):
    """N annotations, checked.

    sound: (N,) bool, those that can be used
    defects: of the others, and the values that were computed anew for those that can be used
    lacking: (N,) bool, those without an area in the file
    """

    sound: np.ndarray
    defects: list[Defect]
    lacking: np.ndarray


def check_annotations(
    chunk: AnnotationChunk, *, source: int, sizes: np.ndarray, labels: np.ndarray
) -> Checked:
    """Check N annotations, and set their boxes and areas to those of their masks.

    source: number of the annotation file, for the defects
    sizes: (N, 2) height and width of the image, 0 where the image id is unknown
    labels: (N,) -1 where the category id is unknown
    """
    sound = np.ones(len(chunk), bool)
    defects: list[Defect] = []

    def report(kind: str, wrong: np.ndarray, reason: Callable[[int], str]) -> None:
        for index in np.flatnonzero(wrong).tolist():
            number = int(chunk.ids[index])
            defects.append(Defect(source, "annotation", number, kind, reason(index)))

    facts = mask_facts(chunk, sizes)
    image_ids, category_ids = chunk.image_ids, chunk.category_ids
    unknown_image, unknown_category = sizes[:, 0] == 0, labels < 0
    report("unknown_image", unknown_image, lambda n: f"image {image_ids[n]} is not in the file")
    report(
        "unknown_category",
        unknown_category,
        lambda n: f"category {category_ids[n]} is not in the file",
    )
    report("crowd", chunk.crowd, lambda _: "is a crowd region (iscrowd), not an instance")
    sound &= ~unknown_image & ~unknown_category & ~chunk.crowd
    for index, (kind, text) in sorted(facts.faults.items()):
        defects.append(Defect(source, "annotation", int(chunk.ids[index]), kind, text))
        sound[index] = False
    dropped = chunk.masks.dropped
    has_bad_part = np.isin(np.arange(len(chunk)), list(dropped))
    report("bad_part", sound & has_bad_part, lambda n: f"{dropped[n]} of its parts are no polygons")
    for kind, wrong, reason in _box_checks(chunk.boxes, sizes, facts):
        report(kind, sound & wrong, reason)
    lacking = ~(chunk.areas > 0)
    areas, wrong = _areas(chunk, sizes, facts, sound=sound, lacking=lacking)
    report(
        "area_wrong",
        wrong,
        lambda n: f"its area is {chunk.areas[n]:.6g}, that of its mask {areas[n]:.6g}",
    )
    chunk.boxes[sound], chunk.areas[sound] = facts.boxes[sound], areas[sound]
    return Checked(sound, defects, lacking)


def _areas(
    chunk: AnnotationChunk,
    sizes: np.ndarray,
    facts: MaskFacts,
    *,
    sound: np.ndarray,
    lacking: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Areas (N,) of the masks, and which of the file's areas (N,) bool are wrong.

    Where the file has no area, or one that does not fit the polygons' own, the area is that of the mask as
    COCO rasterises it: polygons that cross themselves have parts that cancel out.
    """
    areas = facts.areas.copy()
    sides = facts.boxes[:, 2:] - facts.boxes[:, :2]
    slack = sides.sum(axis=1)

    def differs() -> np.ndarray:
        larger = np.maximum(chunk.areas, areas)
        return ~(np.abs(chunk.areas - areas) <= AREA_SHARE * larger + slack)

    for index in np.flatnonzero(sound & differs()).tolist():
        if chunk.masks.rle[index] is None:
            size = (int(sizes[index, 0]), int(sizes[index, 1]))
            counts = rle.from_polygons(chunk.masks.polygons.parts(index), size)
            pixels = float(rle.areas([counts], size)[0])
            areas[index] = pixels or areas[index]  # less than a pixel stays what it is
    return areas, sound & ~lacking & differs()


def _box_checks(
    boxes: np.ndarray, sizes: np.ndarray, facts: MaskFacts
) -> list[tuple[str, np.ndarray, Callable[[int], str]]]:
    """Boxes of the file that are not those of their masks; the file may have none (NaN)."""
    height, width = sizes[:, 0], sizes[:, 1]
    given = ~np.isnan(boxes).any(axis=1)
    flat = given & ~((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    flat |= np.isinf(boxes).any(axis=1)
    limits = np.stack([width, height], axis=1)
    with np.errstate(invalid="ignore"):
        excess = np.maximum(-boxes[:, :2], boxes[:, 2:] - limits).max(axis=1, initial=0)
        longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        off = np.abs(boxes - facts.boxes).max(axis=1, initial=0)
    outside = given & ~flat & (height > 0) & (excess > OUTSIDE_PIXELS)
    far = given & ~flat & ~outside & (off > np.maximum(FAR_PIXELS, FAR_SHARE * longer))
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
