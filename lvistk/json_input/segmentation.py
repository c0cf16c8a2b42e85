"""The forms in which tools write a mask, as the two that COCO knows: polygons, and RLE."""

import ast
import math
from typing import Any, NamedTuple

from lvistk.masks.codes import COORDINATE_LIMIT

LEAST_NUMBERS = 6
"""A polygon has at least three points."""
SIDE_LIMIT = 2**31
COUNTS_BYTES = range(48, 112)
"""Bytes of compressed counts."""


class Unfit(ValueError):
    """A value that means nothing; its message says what, and how to mend it if that is known."""


class Segmentation(NamedTuple):
    """A mask: ``polygons`` or ``rle``; neither where the record has none.

    polygons: lists [x1, y1, x2, y2, ...] of at least three points, in pixels; where no part is such a
        polygon, the parts as they are
    rle: ``{"size": [height, width], "counts": text or list of runs}``
    dropped: parts that were left out beside good ones, because they are no polygons or empty
    """

    polygons: list[list[float]] | None = None
    rle: dict[str, Any] | None = None
    dropped: int = 0


def read_segmentation(value: Any) -> Segmentation:
    """The mask of a parsed JSON value. Raises ``Unfit`` where it is neither polygons nor RLE.

    Taken: null, [] or [[]] for no mask; polygons as [[x1, y1, ...]], as one flat list, as lists of points
    or a level too deep; RLE with counts as text, as Python's text of bytes, as runs or as bytes, with
    sizes as whole floats, and without counts for a mask of no pixel.
    """
    if value is None or value == "":
        return Segmentation()
    if isinstance(value, dict):
        return Segmentation(rle=_rle(value))
    if not isinstance(value, list):
        raise Unfit(f"segmentation {short(value)} is neither a list of polygons nor an RLE object")
    parts = _parts(value)
    filled = [part for part in parts if part]
    if not filled:
        return Segmentation()
    good = [part for part in filled if _is_polygon(part)]
    if not good:
        return Segmentation(polygons=filled)
    return Segmentation(polygons=good, dropped=len(parts) - len(good))


def _parts(value: list[Any]) -> list[list[float]]:
    """The polygons of a list of any depth."""
    if all(_is_number(item) for item in value):
        return [[float(item) for item in value]]
    if not all(isinstance(item, list) for item in value):
        raise Unfit("segmentation: a polygon holds something that is no number")
    points = all(len(item) == 2 and all(map(_is_number, item)) for item in value)
    if points and len(value) * 2 >= LEAST_NUMBERS:
        return [[float(number) for point in value for number in point]]
    return [part for item in value for part in _parts(item)]


def _is_number(value: Any) -> bool:
    """Whether it is a number; whole ones of more than 64 bits, which no float holds, are none."""
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _is_polygon(part: list[float]) -> bool:
    near = all(abs(number) <= COORDINATE_LIMIT for number in part)  # NaN is not
    return len(part) >= LEAST_NUMBERS and len(part) % 2 == 0 and near


def _rle(value: dict[str, Any]) -> dict[str, Any]:
    size = value.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(map(_is_whole, size)):
        raise Unfit(f"segmentation.size {short(size)} is not [height, width] in whole pixels")
    height, width = (int(side) for side in size)
    if not (abs(height) < SIDE_LIMIT and abs(width) < SIDE_LIMIT):
        raise Unfit(f"segmentation.size {short(size)} is larger than any image")
    counts = value.get("counts")
    if isinstance(counts, str):
        counts = _bytes_text(counts)
    elif isinstance(counts, list) and all(map(_is_whole, counts)):
        counts = [int(run) for run in counts]
        bytes_like = counts and all(run in COUNTS_BYTES for run in counts)
        if bytes_like and sum(counts) != height * width:
            counts = bytes(counts).decode()
    else:
        raise Unfit(f"segmentation.counts {short(counts)} is neither text nor a list of runs")
    return {"size": [height, width], "counts": counts or [height * width]}


def _bytes_text(counts: str) -> str:
    """Compressed counts, also where Python's text of bytes (b'...') was written instead of them."""
    if counts[:2] in ("b'", 'b"') and counts[-1:] == counts[1]:
        try:
            return ast.literal_eval(counts).decode("latin-1")
        except (ValueError, SyntaxError):
            return counts
    return counts


def _is_whole(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and value == int(value)


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
