"""One record as pycocotools takes it, checked as the fast engine checks it."""

from typing import Any

import numpy as np
from pycocotools import mask

from lvistk.evaluation import blocks as form
from lvistk.evaluation import complaints
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, COORDINATE_LIMIT, OK

coco_mask: Any = mask
"""Its stubs know neither lists of boxes nor results that are lists."""
LONGEST = 7
"""Bytes of the longest number of an RLE."""


def box_of(record: np.void) -> list[float]:
    """x, y, width, height."""
    return [record[name].item() for name in ("x", "y", "width", "height")]


def complaint_of(record: np.void, *, boxed: bool) -> int:
    """What is wrong with the fields of a detection; ``boxed``: the first of its file has a box."""
    needed = form.HAS_IMAGE | form.HAS_CATEGORY | form.HAS_SCORE
    if record["has"] & needed != needed:
        return complaints.NO_FIELDS
    if not np.isfinite(record["score"]):
        return complaints.BAD_SCORE
    if boxed and not record["has"] & form.HAS_BOX:
        return complaints.NO_BOX
    if record["has"] & form.HAS_BOX and not np.isfinite(box_of(record)).all():
        return complaints.BAD_BOX
    if not boxed and record["mask_kind"] == form.NO_MASK:
        return complaints.NO_SEGMENTATION
    return OK


def mask_of_record(
    text: np.ndarray, record: np.void, numbers: np.ndarray, *, height: int, width: int
) -> tuple[dict[str, Any], int]:
    """The compressed RLE of a record in an image of ``height`` and ``width``, and what is wrong with it.

    A record without a mask has that of its box, as in lvis-api.
    """
    if record["mask_kind"] in (form.RLE_TEXT, form.RLE_RUNS):
        return _rle_of(text, record, numbers)
    if record["mask_kind"] == form.POLYGONS:
        polygons = _polygons(numbers[record["mask_start"] : record["mask_stop"]])
    else:
        x, y, w, h = box_of(record)
        polygons = [[x, y, x, y + h, x + w, y + h, x + w, y]]
    if not polygons or not all(map(_is_polygon, polygons)):
        return {}, BAD_POLYGON
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)), OK


def _rle_of(text: np.ndarray, record: np.void, numbers: np.ndarray) -> tuple[dict[str, Any], int]:
    first, last = record["mask_start"], record["mask_stop"]
    size = [record["mask_height"].item(), record["mask_width"].item()]
    compressed = record["mask_kind"] == form.RLE_TEXT
    counts = text[first:last].tobytes()
    runs = runs_of(counts) if compressed else np.trunc(numbers[first:last])
    if runs is None or not (runs >= 0).all() or runs.sum() != size[0] * size[1]:
        return {}, BAD_COUNTS
    if compressed:
        return {"size": size, "counts": counts}, OK
    return coco_mask.frPyObjects(
        {"size": size, "counts": runs.astype(np.int64).tolist()}, *size
    ), OK


def _polygons(numbers: np.ndarray) -> list[list[float]]:
    """Polygons from their layout in ``numbers``: how many, then the length and coordinates of each."""
    parts: list[list[float]] = []
    place = 1
    for _ in range(int(numbers[0])):
        size = int(numbers[place])
        parts.append(numbers[place + 1 : place + 1 + size].tolist())
        place += 1 + size
    return parts


def _is_polygon(part: list[float]) -> bool:
    near = all(abs(value) <= COORDINATE_LIMIT for value in part)
    return len(part) >= 6 and len(part) % 2 == 0 and near


def runs_of(counts: bytes) -> np.ndarray | None:
    """Runs of a compressed RLE, int64; None for a text that is none."""
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(digits) or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return None
    ends = np.flatnonzero(digits & 32 == 0)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > LONGEST:
        return None
    shifts = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((digits & 31) << shifts, starts)
    runs -= (digits[ends] >> 4 & 1) << (5 * lengths)
    for first in (1, 2):  # from the third on each is a difference to the one two places back
        runs[first::2] = np.cumsum(runs[first::2])
    return runs if runs.min() >= 0 else None
