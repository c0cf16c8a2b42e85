"""All records of a JSON array, section by section, on several threads, in the order of the file."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation.results_json.json_general import parse_array, parse_records
from lvistk.evaluation.results_json.json_scan import scan_records
from lvistk.evaluation.results_json.records import PADDING, RECORD
from lvistk.evaluation.results_json.sections import WHOLE_BYTES, JsonArray
from lvistk.json_numbers import PARSED

Result = TypeVar("Result")
LEAST_RECORD_BYTES = 8
"""Room for records is made for so many bytes each, untouched memory where there are fewer."""
_buffer = threading.local()


class Records(NamedTuple):
    """Records ``records (R,)`` of RECORD whose masks lie in ``text`` or ``numbers``."""

    text: np.ndarray
    records: np.ndarray
    numbers: np.ndarray


class _SectionBroken(Exception):
    """A section cannot be parsed alone; the file as a whole decides."""


class Unsplittable(Exception):
    """The file is right, but was cut inside a record: read it again with ``whole``."""


def map_sections(
    array: JsonArray,
    work: Callable[[Records], Result],
    *,
    threads: int,
    masks: bool = True,
    limit: int | None = None,
    whole: bool = False,
) -> Iterator[Result]:
    """``work`` on the records of every section, results in the order of the file.

    ``work`` runs on ``threads`` threads and must release the GIL to gain by it. ``masks`` False may leave
    the records' masks out; ``limit`` stops after so many sections; ``whole`` takes the file as one. Raises
    ``UserError`` where the JSON is broken, ``Unsplittable`` where only the cuts were.
    """
    if whole:
        yield work(Records(*parse_array(array)))
        return
    waiting: deque[Future[Result]] = deque()
    with array.path.open("rb") as handle, ThreadPoolExecutor(threads) as pool:
        descriptor = handle.fileno()
        try:
            for first, last in array.cuts()[:limit]:
                waiting.append(pool.submit(_section, array, descriptor, first, last, masks, work))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except _SectionBroken as error:
            if array.last - array.first > WHOLE_BYTES:
                raise UserError(str(error)) from None
            parse_array(array)
            raise Unsplittable from None
        finally:
            for future in waiting:
                future.cancel()


def _section(
    array: JsonArray,
    descriptor: int,
    first: int,
    last: int,
    masks: bool,
    work: Callable[[Records], Result],
) -> Result:
    return work(scan_section(array, descriptor, first, last, masks=masks))


def scan_section(
    array: JsonArray, descriptor: int, first: int, last: int, *, masks: bool
) -> Records:
    """Records in bytes ``first:last``, by the scanner, or else by the general parser.

    They lie in buffers of this thread, which its next section overwrites.
    """
    text = array.read(descriptor, first, last)
    length = last - first
    if len(getattr(_buffer, "records", ())) <= length // LEAST_RECORD_BYTES:
        _buffer.records = np.empty(length // LEAST_RECORD_BYTES + 1, RECORD)
    records = _buffer.records
    count, numbers, _, code = scan_records(text, 0, length, records, masks)
    body = bytes(text[max(length - PADDING, 0) : length]).rstrip()
    if code == PARSED and not (last == array.last and body.endswith(b",")):
        return Records(text, records[:count], numbers)
    body = bytes(text[:length]).strip()
    if last != array.last:
        body = body.removesuffix(b",")
    try:
        return Records(*parse_records(b"[" + body + b"]", path=array.path))
    except UserError as error:
        message = f"{error} (in the piece of bytes {first} to {last})"
        raise _SectionBroken(message) from None
