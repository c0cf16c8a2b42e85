"""All records of a JSON array, section by section, on several threads, in the order of the file."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from lvistk.errors import UserError
from lvistk.evaluation.blocks import NONE_INT64, PADDING, Block
from lvistk.evaluation.in_order import map_in_order
from lvistk.evaluation.results_json.json_array import WHOLE_BYTES, JsonArray
from lvistk.evaluation.results_json.json_general import Parsed, Reading, parse_array, parse_records
from lvistk.evaluation.results_json.json_scan import scan_records
from lvistk.evaluation.results_json.records import Records, block_of, empty_records
from lvistk.json_numbers import PARSED

Result = TypeVar("Result")
LEAST_RECORD_BYTES = 8
"""A record is preallocated for so many bytes of JSON; memory that stays unused is never touched."""
_buffer = threading.local()


class _SectionBroken(Exception):
    """A section cannot be parsed alone; the file as a whole decides."""


class Unsplittable(Exception):
    """The file is right, but was cut inside a record: read it whole."""


def map_sections(
    array: JsonArray, work: Callable[[Block], Result], reading: Reading, *, threads: int
) -> Iterator[Result]:
    """``work`` on the block of every section, results in the order of the file.

    Raises ``UserError`` where the JSON is broken, ``Unsplittable`` where only the cuts were.
    """

    def section(ends: tuple[int, int]) -> Result:
        return work(_section(array, *ends, reading))

    try:
        yield from map_in_order(section, array.cuts(), threads=threads)
    except _SectionBroken as error:
        if array.last - array.first > WHOLE_BYTES:
            raise UserError(str(error)) from None
        parse_array(array, reading)
        raise Unsplittable from None


def whole_block(array: JsonArray, reading: Reading) -> Block:
    """All records at once, by the general parser."""
    return _block_of(parse_array(array, reading), reading)


def first_block(array: JsonArray, reading: Reading) -> Block:
    """The first record alone; none of an empty array."""
    text, path = _first_record(array), array.text.path
    return _block_of(parse_records(b"[" + text + b"]", path=path, reading=reading), reading)


def _block_of(parsed: Parsed, reading: Reading) -> Block:
    count = len(parsed.records.has)
    return block_of(*parsed, count=count, annotations=reading.annotations)


def _first_record(array: JsonArray) -> bytes:
    """The JSON of the first record, or the whole array where it has none that can be told apart."""
    first, last = array.cuts()[0]
    section = array.piece(first, last)
    try:
        body = section.decode().lstrip()
        _, end = json.JSONDecoder().raw_decode(body)
        return body[:end].encode()
    except (ValueError, RecursionError):
        whole = array.last - array.first <= WHOLE_BYTES
        return array.piece(array.first, array.last) if whole else section


def _section(array: JsonArray, first: int, last: int, reading: Reading) -> Block:
    """Records in bytes ``first:last``, by the scanner, or else by the general parser.

    They lie in buffers of this thread, which its next section overwrites.
    """
    text = array.read(first, last)
    length = last - first
    records = _room_for(length // LEAST_RECORD_BYTES + 1)
    count, numbers, _, code = scan_records(text, 0, length, records, reading.masks)
    body = bytes(text[max(length - PADDING, 0) : length]).rstrip()
    if code == PARSED and not (last == array.last and body.endswith(b",")):
        return block_of(
            text, records, numbers, NONE_INT64, count=count, annotations=reading.annotations
        )
    body = bytes(text[:length]).strip()
    if last != array.last:
        body = body.removesuffix(b",")
    try:
        parsed = parse_records(b"[" + body + b"]", path=array.text.path, reading=reading)
    except UserError as error:
        message = f"{error} (in the piece of bytes {first} to {last})"
        raise _SectionBroken(message) from None
    return _block_of(parsed, reading)


def _room_for(count: int) -> Records:
    """Records of this thread, ``count`` rows or more."""
    kept = getattr(_buffer, "records", None)
    if kept is None or len(kept.has) < count:
        kept = _buffer.records = empty_records(count)
    return kept
