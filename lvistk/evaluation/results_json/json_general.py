"""The general parser behind the scanner: slower, and right about everything JSON allows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation import blocks as scan
from lvistk.evaluation.blocks import PADDING
from lvistk.evaluation.results_json.json_array import JsonArray
from lvistk.evaluation.results_json.records import RECORD

LARGEST = 2**63
WHOLE_NUMBERS = scan.HAS_IMAGE | scan.HAS_CATEGORY | scan.HAS_ID


Side = Annotated[int, msgspec.Meta(gt=-(2**31), lt=2**31)]


class _Rle(msgspec.Struct):
    size: tuple[Side, Side]
    counts: str | list[int | float]


class _Record(msgspec.Struct):
    image_id: int | float | None = None
    category_id: int | float | None = None
    id: int | float | None = None
    score: float | None = None
    area: float | None = None
    bbox: list[float] | None = None
    segmentation: _Rle | list[list[float]] | None = None
    ignore: bool | float | None = None


def parse_array(array: JsonArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All records of the array at once, as ``parse_records`` gives them."""
    body = array.piece(array.first, array.last)
    return parse_records(b"[" + body + b"]", path=array.text.path)


def parse_records(text: bytes, *, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Records of a whole JSON array as the scanner gives them: (text, records, numbers).

    Raises ``UserError`` naming the file, the record and the field, or the byte where the JSON breaks.
    """
    try:
        parsed = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    records = np.zeros(len(parsed), RECORD)
    counts: list[bytes] = []
    numbers: list[float] = []
    place = 0
    for record, row in zip(parsed, records, strict=True):
        _fill_fields(record, row, path=path)
        if isinstance(record.segmentation, _Rle):
            place = _fill_rle(record.segmentation, row, counts=counts, numbers=numbers, place=place)
        elif record.segmentation is not None:
            _fill_polygons(record.segmentation, row, numbers)
    flat = np.frombuffer(bytearray(b"".join(counts) + bytes(PADDING)), np.uint8)  # writable,
    # as the scanner's: kernels are compiled anew for read-only arrays
    return flat, records, np.array(numbers, np.float64)


def _decode(text: bytes) -> list[_Record]:
    """msgspec's view of the array; Python's own where NaN or Infinity stand in it, which msgspec refuses
    and Python's json writes."""
    try:
        return msgspec.json.decode(text, type=list[_Record])
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        if b"NaN" not in text and b"Infinity" not in text:
            raise
        try:
            parsed = json.loads(text)
        except ValueError:
            raise error from None
        return msgspec.convert(parsed, list[_Record])


def _fill_fields(record: _Record, row: np.void, *, path: Path) -> None:
    fields = (
        (scan.HAS_IMAGE, "image_id"),
        (scan.HAS_CATEGORY, "category_id"),
        (scan.HAS_ID, "id"),
        (scan.HAS_SCORE, "score"),
        (scan.HAS_AREA, "area"),
    )
    for bit, name in fields:
        value = getattr(record, name)
        if value is not None:
            if bit & WHOLE_NUMBERS and not (abs(value) < LARGEST and value == int(value)):
                raise UserError(f"{path}: {name} {value} is no whole number")
            row[name] = value
            row["has"] |= bit
    row["ignore"] = bool(record.ignore)
    if record.bbox is not None:
        if len(record.bbox) != 4:
            raise UserError(
                f"{path}: image {record.image_id}: bbox has {len(record.bbox)} numbers, not 4"
            )
        row["x"], row["y"], row["width"], row["height"] = record.bbox
        row["has"] |= scan.HAS_BOX


def _fill_rle(
    rle: _Rle, row: np.void, *, counts: list[bytes], numbers: list[float], place: int
) -> int:
    row["mask_height"], row["mask_width"] = rle.size
    if isinstance(rle.counts, str):
        encoded = rle.counts.encode()
        row["mask_kind"], row["mask_start"] = scan.RLE_TEXT, place
        row["mask_stop"] = place + len(encoded)
        counts.append(encoded)
        return place + len(encoded)
    row["mask_kind"], row["mask_start"] = scan.RLE_RUNS, len(numbers)
    numbers += rle.counts
    row["mask_stop"] = len(numbers)
    return place


def _fill_polygons(polygons: Sequence[list[float]], row: np.void, numbers: list[float]) -> None:
    row["mask_kind"], row["mask_start"] = scan.POLYGONS, len(numbers)
    numbers.append(len(polygons))
    for polygon in polygons:
        numbers.append(len(polygon))
        numbers += polygon
    row["mask_stop"] = len(numbers)
