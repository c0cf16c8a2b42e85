"""Records of a whole file with masks as pycocotools takes them, checked as the fast engine checks them."""

from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask

from lvistk.errors import UserError
from lvistk.evaluation import records as form
from lvistk.evaluation.json_general import parse_records
from lvistk.evaluation.records import BAD_COUNTS, BAD_POLYGON, COMPLAINTS, OK
from lvistk.evaluation.sections import JsonArray, results_array

coco_mask: Any = mask
"""Its stubs know neither lists of boxes nor results that are lists."""
LONGEST = 7
"""Bytes of the longest number of an RLE."""


def parse_array(array: JsonArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All records of the array: (text, records, numbers), as ``parse_records`` gives them."""
    with array.path.open("rb") as handle:
        handle.seek(array.first)
        body = handle.read(array.last - array.first)
    return parse_records(b"[" + body + b"]", path=array.path)


def results_of(path: Path) -> list[dict[str, Any]]:
    """Detections of a results file, each with ``bbox``, ``segmentation`` (an RLE, or polygons) or both.

    Raises ``UserError`` for the first that cannot be evaluated.
    """
    text, records, numbers = parse_array(results_array(path))
    if len(records) and not records[0]["has"] & form.HAS_BOX and not records[0]["mask_kind"]:
        raise UserError(f"{path}: the first detection has neither bbox nor segmentation")
    found = []
    for place, record in enumerate(records):
        one = {name: record[name].item() for name in ("image_id", "category_id", "score")}
        segmentation, code = mask_of_record(text, record, numbers)
        code = _complaint(record, boxed=bool(records[0]["has"] & form.HAS_BOX)) or code
        if code != OK:
            who = f"{path}: detection {place + 1} (image_id {one['image_id']}, "
            raise UserError(f"{who}category_id {one['category_id']}): {COMPLAINTS[code]}")
        if record["has"] & form.HAS_BOX:
            one["bbox"] = box_of(record)
        if segmentation is not None:
            one["segmentation"] = segmentation
        found.append(one)
    return found


def box_of(record: np.void) -> list[float]:
    """x, y, width, height."""
    return [record[name].item() for name in ("x", "y", "width", "height")]


def _complaint(record: np.void, *, boxed: bool) -> int:
    needed = form.HAS_IMAGE | form.HAS_CATEGORY | form.HAS_SCORE
    if record["has"] & needed != needed:
        return form.NO_FIELDS
    if not np.isfinite(record["score"]):
        return form.BAD_SCORE
    if boxed and not record["has"] & form.HAS_BOX:
        return form.NO_BOX
    if not boxed and record["mask_kind"] == form.NO_MASK:
        return form.NO_SEGMENTATION
    return OK


def mask_of_record(
    text: np.ndarray, record: np.void, numbers: np.ndarray
) -> tuple[dict[str, Any] | list[list[float]] | None, int]:
    """The mask of a record and what is wrong with it: a compressed RLE, polygons, or None."""
    first, last = int(record["mask_start"]), int(record["mask_stop"])
    size = [int(record["mask_height"]), int(record["mask_width"])]
    if record["mask_kind"] == form.NO_MASK:
        return None, OK
    if record["mask_kind"] == form.POLYGONS:
        return _polygons(numbers[first:last])
    if record["mask_kind"] == form.RLE_RUNS:
        runs = numbers[first:last].astype(np.int64)
        if (runs < 0).any() or runs.sum() != size[0] * size[1]:
            return None, BAD_COUNTS
        return coco_mask.frPyObjects({"size": size, "counts": runs.tolist()}, *size), OK
    counts = text[first:last].tobytes()
    runs = runs_of(counts)
    if runs is None or runs.sum() != size[0] * size[1]:
        return None, BAD_COUNTS
    return {"size": size, "counts": counts}, OK


def _polygons(numbers: np.ndarray) -> tuple[list[list[float]] | None, int]:
    parts: list[list[float]] = []
    place = 1
    for _ in range(int(numbers[0])):
        size = int(numbers[place])
        part = numbers[place + 1 : place + 1 + size]
        place += 1 + size
        if size < 6 or size % 2 or not (np.abs(part) <= form.COORDINATE_LIMIT).all():
            return None, BAD_POLYGON
        parts.append(part.tolist())
    return (parts, OK) if parts else (None, BAD_POLYGON)


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
