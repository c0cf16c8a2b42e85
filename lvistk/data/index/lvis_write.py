"""LVIS annotation and results JSON written as streams."""

from collections.abc import Iterable
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
    with whole_file(path) as temporary, temporary.open("wb") as out:
        _write_list(out, results)
        out.write(b"\n")


def _write_list(out: Any, records: Iterable[Any]) -> None:
    encoder = msgspec.json.Encoder()
    buffer = bytearray(b"[")
    for number, record in enumerate(records):
        buffer += b",\n" if number else b"\n"
        buffer += encoder.encode(record)
        if len(buffer) > WRITE_BYTES:
            out.write(buffer)
            buffer.clear()
    out.write(buffer + b"]")
