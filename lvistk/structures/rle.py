"""Run-length encoded masks in COCO's compressed form, around pycocotools.

An RLE here is the pair (height, width) and ``bytes``: the ``counts`` of a compressed COCO RLE,
column-major runs that start with background.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask

coco_mask: Any = mask
"""pycocotools' type stubs know neither lists of RLEs nor arrays."""
Size = tuple[int, int]
AREA_CHUNK = 128
"""pycocotools 2.0.11 on numpy 2 raises OverflowError in ``area`` of more than 255 RLEs."""


def as_coco(counts: bytes, size: Size) -> dict:
    """The dictionary that pycocotools takes."""
    return {"size": [int(size[0]), int(size[1])], "counts": counts}


def encode(bitmap: np.ndarray) -> bytes:
    """Counts of one mask (H, W) of 0 and 1."""
    return coco_mask.encode(np.asfortranarray(bitmap, dtype=np.uint8))["counts"]


def decode(counts: bytes, size: Size) -> np.ndarray:
    """Mask (H, W) uint8."""
    return coco_mask.decode(as_coco(counts, size))


def from_polygons(polygons: Sequence[np.ndarray], size: Size) -> bytes:
    """Union of polygons (each (2V,) or (V, 2), x before y), as COCO rasterises them."""
    flat = [np.asarray(polygon, np.float64).reshape(-1) for polygon in polygons]
    parts = coco_mask.frPyObjects(flat, *size)
    return coco_mask.merge(parts)["counts"] if len(parts) > 1 else parts[0]["counts"]


def areas(masks: Sequence[bytes], size: Size) -> np.ndarray:
    """Areas (N,) int64 in pixels."""
    rles = [as_coco(counts, size) for counts in masks]
    chunks = [
        coco_mask.area(rles[start : start + AREA_CHUNK])
        for start in range(0, len(rles), AREA_CHUNK)
    ]
    return (
        np.concatenate([np.asarray(c, np.int64) for c in chunks])
        if chunks
        else np.zeros(0, np.int64)
    )


def boxes(masks: Sequence[bytes], size: Size) -> np.ndarray:
    """Tight boxes (N, 4) float32 xyxy; zeros for an empty mask."""
    if not masks:
        return np.zeros((0, 4), np.float32)
    xywh = np.asarray(coco_mask.toBbox([as_coco(counts, size) for counts in masks]), np.float32)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
