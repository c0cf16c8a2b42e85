"""LVIS annotation and results JSON written as streams."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from lvistk.whole_file import whole_file

WRITE_BYTES = 1 << 20


def write_annotations(
    path: Path,
    *,
    images: Iterable[Any],
    annotations: Iterable[Any],
    categories: Iterable[Any],
    info: str = "",
) -> None:
    """An annotation file, whole or not at all, holding one record in memory at a time.

    Records are dictionaries or records of ``lvis_json``, with xywh boxes.
    """
    with whole_file(path) as temporary, temporary.open("wb") as out:
        head = msgspec.json.encode({"description": info, "version": "v1"})
        out.write(b'{"info": ' + head + b', "licenses": []')
        for name, records in (
            ("images", images),
            ("annotations", annotations),
            ("categories", categories),
        ):
            out.write(f',\n"{name}": '.encode())
            _write_list(out, records)
        out.write(b"}\n")


def write_results(path: Path, results: Iterable[Any]) -> None:
    """A results file (a JSON list), written as a stream, whole or not at all."""
    with results_in_parts(path) as add:
        add(results)


@contextmanager
def results_in_parts(path: Path) -> Iterator[Callable[[Iterable[Any]], None]]:
    """Gives a function that adds records to a results file, which appears when the block ends well."""
    with whole_file(path) as temporary, temporary.open("wb") as out:
        records = _List(out)
        yield records.add
        records.end()
        out.write(b"\n")


def _write_list(out: Any, records: Iterable[Any]) -> None:
    written = _List(out)
    written.add(records)
    written.end()


class _List:
    """A JSON list, a record per line, whose records come in parts."""

    def __init__(self, out: Any) -> None:
        self._out, self._encoder = out, msgspec.json.Encoder()
        self._before = b"[\n"

    def add(self, records: Iterable[Any]) -> None:
        buffer = bytearray()
        for record in records:
            buffer += self._before
            buffer += self._encoder.encode(record)
            self._before = b",\n"
            if len(buffer) > WRITE_BYTES:
                self._out.write(buffer)
                buffer.clear()
        self._out.write(buffer)

    def end(self) -> None:
        self._out.write(b"[]" if self._before == b"[\n" else b"]")
