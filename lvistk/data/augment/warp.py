"""Instances under the matrix that their image is warped by, clipped to the picture."""

import numpy as np

from lvistk.config.train import AugmentSettings
from lvistk.data.index.instances import Instances
from lvistk.masks.bitmaps import Bitmap, bitmap_from_polygons
from lvistk.masks.clipping import Rectangle, clip_polygons
from lvistk.masks.polygons import map_polygons, select_polygons
from lvistk.masks.union_area import union_areas


def warp_instances(
    instances: Instances,
    matrix: np.ndarray,
    rectangle: Rectangle,
    *,
    settings: AugmentSettings,
) -> Instances:
    """The instances under a matrix, clipped.

    matrix: (3, 3) from their pixels to those of the picture
    rectangle: x0, y0, x1, y1 in whole pixels of the picture
    settings: ``tight_boxes``: boxes are tight around the clipped masks, else the clipped envelopes of the
        warped boxes; instances with less than ``min_area`` or less than ``min_kept`` of their unclipped area
        are dropped
    """
    if not len(instances):
        return instances
    full_areas = instances.areas * abs(np.linalg.det(matrix[:2, :2]))
    clipped = clip_polygons(map_polygons(instances.polygons, matrix), rectangle)
    boxes, areas = clipped.boxes, full_areas.copy()
    touched = np.flatnonzero(clipped.touched)
    areas[touched] = np.minimum(
        union_areas(select_polygons(clipped.polygons, touched)), full_areas[touched]
    )
    bitmaps = {}
    for i, bitmap in instances.bitmaps.items():
        warped = bitmap.warp(matrix, rectangle)
        boxes[i], areas[i] = 0.0, 0.0
        if warped is not None:
            bitmaps[i], boxes[i], areas[i] = warped, warped.box, warped.area
    kept = (areas >= settings.min_area) & (areas >= settings.min_kept * full_areas)
    kept &= boxes[:, 0] < boxes[:, 2]
    if not settings.tight_boxes:
        boxes = envelopes(instances.boxes, matrix, rectangle)
    warped = Instances(
        labels=instances.labels,
        boxes=boxes.astype(np.float32),
        areas=areas,
        polygons=clipped.polygons,
        bitmaps=bitmaps,
        weights=instances.weights,
    )
    return warped.select(np.flatnonzero(kept))


def bitmap_of(instances: Instances, i: int, size: tuple[int, int]) -> Bitmap | None:
    """The mask of instance ``i`` as a tight bitmap within a picture of ``size`` (height, width); None if
    it is empty."""
    whole = instances.bitmaps.get(i) or bitmap_from_polygons(instances.polygons.parts(i))
    if whole is None:
        return None
    height, width = size
    left, top = max(-whole.x, 0), max(-whole.y, 0)
    pixels = whole.pixels[top : max(height - whole.y, 0), left : max(width - whole.x, 0)]
    return Bitmap(whole.x + left, whole.y + top, pixels).tighten()


def envelopes(boxes: np.ndarray, matrix: np.ndarray, rectangle: Rectangle) -> np.ndarray:
    """Upright boxes (G, 4) around warped boxes (G, 4), clipped to ``rectangle``."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (G, 4, 2)
    mapped = corners @ matrix[:2, :2].T + matrix[:2, 2]
    low = np.maximum(mapped.min(axis=1), rectangle[:2])
    high = np.minimum(mapped.max(axis=1), rectangle[2:])
    return np.concatenate([low, np.maximum(high, low)], axis=1)
