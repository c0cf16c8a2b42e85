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


def runs(counts: bytes) -> np.ndarray:
    """Run lengths (R,) int64 of compressed counts, background first.

    Each run is a number of 5 bits a byte, least first, and after the third run the difference to the
    run before the last. Raises ``ValueError`` where the bytes are no such code; pycocotools would read
    beyond them.
    """
    found = _undo_differences(values_of_bytes(counts)[0])
    if found.min(initial=0) < 0:
        raise ValueError("a run of negative length")
    return found


def values_of_bytes(counts: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The numbers (V,) int64 that stand in ``counts``, and the place (V,) of each one's last byte."""
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(digits):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if digits.min() < 0 or digits.max() > 63:
        raise ValueError("a byte outside '0' to 'o'")
    last = (digits & 32) == 0
    if not last[-1]:
        raise ValueError("it stops in the middle of a number")
    ends = np.flatnonzero(last)
    first = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(digits)) - np.repeat(first, ends - first + 1)
    if place.max() > 6:
        raise ValueError("a number of more than 7 digits")
    values = np.add.reduceat((digits & 31) << (5 * place), first)
    negative = (digits[ends] & 16) != 0
    values[negative] -= 1 << (5 * (place[ends[negative]] + 1))
    return values, ends


def _undo_differences(values: np.ndarray) -> np.ndarray:
    """From the third on, a number is the difference to the run two before (the third stands alone)."""
    found = values.copy()
    found[1::2] = np.cumsum(values[1::2])
    found[2::2] = np.cumsum(values[2::2])
    return found
