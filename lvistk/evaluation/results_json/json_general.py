"""The general parser behind the scanner: slower, right about all that JSON allows and other tools write."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation.blocks import (
    HAS_AREA,
    HAS_BOX,
    HAS_CATEGORY,
    HAS_ID,
    HAS_IMAGE,
    HAS_SCORE,
    PADDING,
    POLYGONS,
    RLE_RUNS,
    RLE_TEXT,
)
from lvistk.evaluation.results_json.json_array import JsonArray
from lvistk.evaluation.results_json.records import Records, empty_records
from lvistk.json_input.faults import JSON_ERRORS, json_fault
from lvistk.json_input.mend import mend_record, whole
from lvistk.json_input.segmentation import Segmentation, Unfit, read_segmentation, short

FIELDS = ("image_id", "category_id", "id", "score", "area", "bbox", "ignore")
_BITS = {
    "image_id": ("image_ids", HAS_IMAGE),
    "category_id": ("category_ids", HAS_CATEGORY),
    "id": ("ids", HAS_ID),
    "score": ("scores", HAS_SCORE),
    "area": ("areas", HAS_AREA),
}
"""Fields that hold one number: their column and their bit of ``has``."""
SIDE_LIMIT = 2**31


class Reading(NamedTuple):
    """How records are read.

    masks: whether blocks need masks
    annotations: whether they are annotations, and blocks need ids, areas and ``ignore``
    image_of: the image id that a text in ``image_id`` means; raises ``Unfit`` where it means none
    """

    masks: bool
    annotations: bool
    image_of: Callable[[str], int]


class Parsed(NamedTuple):
    """Records as the scanner gives them.

    text: (bytes,) uint8, compressed counts
    records: R rows
    numbers: (numbers,) float64, runs and polygons
    dropped: (R,) int64, parts left out of masks; (0,) where none were
    """

    text: np.ndarray
    records: Records
    numbers: np.ndarray
    dropped: np.ndarray


def parse_array(array: JsonArray, reading: Reading) -> Parsed:
    """All records of the array at once, as ``parse_records`` gives them."""
    body = array.piece(array.first, array.last)
    return parse_records(b"[" + body + b"]", path=array.text.path, reading=reading)


def parse_records(text: bytes, *, path: Path, reading: Reading) -> Parsed:
    """Records of a whole JSON array as the scanner gives them.

    Raises ``UserError`` naming the file, the record and the field, or the line where the JSON breaks.
    """
    try:
        parsed = _decode(text)
    except JSON_ERRORS as error:
        raise UserError(f"{path}: {json_fault(text, error)}") from None
    filling = _Filling(len(parsed), reading)
    for row, record in enumerate(parsed):
        try:
            filling.add(row, record)
        except Unfit as error:
            raise UserError(f"{path}: {_named(record, row, reading)}: {error}") from None
    return filling.parsed()


def _decode(text: bytes) -> list[Any]:
    """The array by msgspec, or by Python where NaN or Infinity stand in it: msgspec refuses them, and
    Python's json writes them."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        if b"NaN" not in text and b"Infinity" not in text:
            raise
        try:
            return json.loads(text)
        except ValueError:
            raise error from None


def _named(record: Any, row: int, reading: Reading) -> str:
    """What a record is called: an annotation by its id, a detection by its row and ids."""
    known = record if isinstance(record, dict) else {}
    if reading.annotations:
        return (
            f"annotation {short(known['id'])}"
            if "id" in known
            else f"annotation {row + 1} of the list"
        )
    ids = [f"{name} {short(known[name])}" for name in ("image_id", "category_id") if name in known]
    return f"detection {row + 1}" + (f" ({', '.join(ids)})" if ids else "")


class _Filling:
    """Records, counts and numbers of an array while it is read."""

    def __init__(self, count: int, reading: Reading) -> None:
        self.reading = reading
        self.records = empty_records(count)
        for column in self.records:
            column[:] = 0
        self.dropped = np.zeros(count, np.int64)
        self.counts = bytearray()
        self.numbers: list[float] = []

    def add(self, row: int, record: Any) -> None:
        """Fill row ``row``. Raises ``Unfit`` for a value that means nothing."""
        if not isinstance(record, dict):
            raise Unfit(f"{short(record)} is no record {{...}}")
        records = self.records
        mended = mend_record({name: record[name] for name in FIELDS if name in record})
        if isinstance(mended.get("image_id"), str):
            mended["image_id"] = self.reading.image_of(mended["image_id"])
        for name in ("id", "category_id"):
            if isinstance(mended.get(name), str):
                mended[name] = self._number(name, mended[name])
        for name, (column, bit) in _BITS.items():
            if name in mended:
                getattr(records, column)[row] = mended[name]
                records.has[row] |= bit
        records.ignored[row] = mended.get("ignore", 0)
        if "bbox" in mended:
            records.boxes[row] = mended["bbox"]
            records.has[row] |= HAS_BOX
        if self.reading.masks:
            self._add_mask(row, read_segmentation(record.get("segmentation")))

    def _number(self, name: str, text: str) -> int:
        """An id of results that was written as text; annotations have whole numbers."""
        if self.reading.annotations or not (text.isascii() and text.isdigit()):
            raise Unfit(f"{name} {short(text)} is text; write a whole number")
        return whole(name, int(text))

    def _add_mask(self, row: int, mask: Segmentation) -> None:
        self.dropped[row] = mask.dropped
        if mask.polygons is not None:
            first = len(self.numbers)
            self.numbers.append(len(mask.polygons))
            for polygon in mask.polygons:
                self.numbers.append(len(polygon))
                self.numbers += polygon
            self._put(row, POLYGONS, first, len(self.numbers))
        elif mask.rle is not None:
            self._add_rle(row, **mask.rle)

    def _add_rle(self, row: int, size: list[int], counts: str | list[int]) -> None:
        for side in size:
            if not -SIDE_LIMIT < whole("segmentation.size", side) < SIDE_LIMIT:
                raise Unfit(f"segmentation.size {size} is no size of an image")
        self.records.mask_heights[row], self.records.mask_widths[row] = size
        if isinstance(counts, str):
            first = len(self.counts)
            self.counts += counts.encode("utf-8", "surrogatepass")
            self._put(row, RLE_TEXT, first, len(self.counts))
        else:
            first = len(self.numbers)
            self.numbers += counts
            self._put(row, RLE_RUNS, first, len(self.numbers))

    def _put(self, row: int, kind: int, start: int, stop: int) -> None:
        records = self.records
        records.mask_kinds[row] = kind
        records.mask_starts[row], records.mask_stops[row] = start, stop

    def parsed(self) -> Parsed:
        """All that was filled."""
        # writable, as the scanner's: kernels are compiled anew for read-only arrays
        text = np.frombuffer(self.counts + bytes(PADDING), np.uint8)
        dropped = self.dropped if self.dropped.any() else self.dropped[:0]
        return Parsed(text, self.records, np.array(self.numbers, np.float64), dropped)
