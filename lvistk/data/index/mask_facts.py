"""What the masks of a chunk of annotations are like: broken or sound, how large, how tight a box."""

from typing import NamedTuple

import numpy as np

from lvistk.data.index.annotation_chunk import MIN_POINTS, AnnotationChunk, Rle
from lvistk.masks import rle
from lvistk.masks.codes import COORDINATE_LIMIT
from lvistk.masks.polygons import Polygons, instance_areas, select_polygons, tight_boxes

NO_OVERLAP = 0.99
"""Unions are measured by lines; those that come this close to the sum of their parts are the sum (ours)."""


class MaskFacts(NamedTuple):
    """What the masks of N annotations are like.

    faults: kind of defect and reason, by annotation, of masks that cannot be used
    boxes: (N, 4) float64 xyxy, tight around the mask within its image; NaN where the mask is broken
    areas: (N,) float64 in pixels, of the union of the parts within the image; NaN where the mask is broken
    """

    faults: dict[int, tuple[str, str]]
    boxes: np.ndarray
    areas: np.ndarray


def mask_facts(chunk: AnnotationChunk, sizes: np.ndarray) -> MaskFacts:
    """``sizes (N, 2)``: height and width of each annotation's image, 0 where it is unknown."""
    faults = dict(chunk.masks.errors)
    polygons = chunk.masks.polygons
    faults |= _polygon_faults(chunk, set(faults))
    boxes = tight_boxes(polygons).astype(np.float64)
    with np.errstate(invalid="ignore"):  # numbers that are not finite are faults already
        areas = instance_areas(polygons)
        _measure_unions(polygons, areas)
        _measure_within_images(polygons, sizes, boxes, areas)
    for index, mask in enumerate(chunk.masks.rle):
        if mask is None:
            continue
        fault = rle_fault(mask, sizes[index])
        if fault:
            faults[index] = ("broken_rle", fault)
        else:
            boxes[index] = rle.boxes([mask.counts], mask.size)[0]
            areas[index] = rle.areas([mask.counts], mask.size)[0]
    broken = list(faults)
    boxes[broken] = np.nan
    areas[broken] = np.nan
    for index in np.flatnonzero(areas == 0):
        faults[int(index)] = ("empty_mask", "its mask has no area within its image")
    return MaskFacts(faults, boxes, areas)


def _measure_unions(polygons: Polygons, areas: np.ndarray) -> None:
    """Set the areas of instances of several parts, which may overlap."""
    finite = np.isfinite(areas)
    several = np.flatnonzero(finite & (np.diff(polygons.instance_start) > 1))
    if not len(several):
        return
    from lvistk.masks.union_area import union_areas  # compiled: imported where needed

    unions = union_areas(select_polygons(polygons, several))
    overlap = unions < NO_OVERLAP * areas[several]
    areas[several[overlap]] = unions[overlap]


def _measure_within_images(
    polygons: Polygons, sizes: np.ndarray, boxes: np.ndarray, areas: np.ndarray
) -> None:
    """Set boxes and areas of polygons that leave their image to those of the part within it."""
    limits = sizes[:, ::-1].astype(np.float64)
    leaves = ((boxes[:, :2] < 0) | (boxes[:, 2:] > limits)).any(axis=1)
    leaving = np.flatnonzero(leaves & np.isfinite(areas) & (sizes[:, 0] > 0))
    if not len(leaving):
        return
    from lvistk.masks.clipping import clip_polygons
    from lvistk.masks.union_area import union_areas

    for index in leaving.tolist():
        rectangle = (0, 0, int(sizes[index, 1]), int(sizes[index, 0]))
        clipped = clip_polygons(select_polygons(polygons, np.array([index])), rectangle)
        boxes[index] = clipped.boxes[0]
        areas[index] = min(union_areas(clipped.polygons)[0], areas[index])


def rle_fault(mask: Rle, size: np.ndarray) -> str | None:
    """Why an RLE cannot be a mask of an image of ``size`` (0: unknown); None where it can."""
    if size[0] and tuple(size) != mask.size:
        return f"its RLE is {mask.size[0]} x {mask.size[1]}, the image {size[0]} x {size[1]}"
    try:
        rle.check_size(mask.size)
        total = rle.runs(mask.counts).sum()
    except ValueError as error:
        return f"its RLE cannot be decoded: {error}"
    pixels = mask.size[0] * mask.size[1]
    return None if total == pixels else f"its RLE covers {total} of {pixels} pixels"


def _polygon_faults(chunk: AnnotationChunk, known: set[int]) -> dict[int, tuple[str, str]]:
    polygons = chunk.masks.polygons
    faults: dict[int, tuple[str, str]] = {}
    counts = np.diff(polygons.part_start)
    owners = np.repeat(np.arange(len(chunk)), np.diff(polygons.instance_start))
    near = (np.abs(polygons.points) <= COORDINATE_LIMIT).all(axis=1)  # NaN is not
    wrong = counts < MIN_POINTS
    if not near.all():
        parts = np.searchsorted(polygons.part_start, np.flatnonzero(~near), side="right") - 1
        wrong[parts] = True
    for part in np.flatnonzero(wrong):
        number = part - polygons.instance_start[owners[part]]
        why = (
            f"has {counts[part]} points, and a polygon needs {MIN_POINTS}"
            if counts[part] < MIN_POINTS
            else f"has coordinates that are not finite or beyond {COORDINATE_LIMIT:.0f} px"
        )
        faults.setdefault(int(owners[part]), ("degenerate_polygon", f"polygon {number} {why}"))
    for index in np.flatnonzero(np.diff(polygons.instance_start) == 0):
        if chunk.masks.rle[index] is None and index not in known:
            faults[int(index)] = ("degenerate_polygon", "it has no polygon")
    return faults
