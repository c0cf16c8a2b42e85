"""JSON files as mapped bytes, and errors that name the place at which one stops making sense."""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lvistk.errors import UserError

Record = TypeVar("Record")
JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
COUNT_BYTES = 1 << 20


def mapped(path: Path) -> mmap.mmap:
    """The bytes of a file, read as they are needed; ``UserError`` where it cannot be read or is empty."""
    try:
        with path.open("rb") as handle:
            return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError:
        raise UserError(f"{path}: the file is empty") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def decode(data: Any, kind: type[Record], *, path: Path, section: str = "") -> Record:
    """``data`` as ``kind``; ``UserError`` naming ``path``, and ``section`` of the file, where it is none."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        reason = plain_message(error)
        what = f"'{section}': {reason}" if section else f"not an LVIS annotation file: {reason}"
        raise UserError(f"{path}: {what}") from None
    except JSON_ERRORS as error:
        raise UserError(f"{path}: {_where(data, str(error))}") from None


def plain_message(error: Exception) -> str:
    """msgspec's message without its backticks, which are marks in some terminals."""
    return str(error).replace("`", "'")


def _where(data: Any, message: str) -> str:
    """The line and byte at which a JSON stops making sense."""
    size = memoryview(data).nbytes
    found = re.search(r"\(byte (\d+)\)", message)
    if "truncated" in message:
        return f"the JSON stops in the middle, at byte {size}; copy or download it again"
    if found is None:
        return f"not valid JSON: {message}"
    byte = int(found[1])
    line = 1 + sum(chunk.count(b"\n") for chunk in _chunks(memoryview(data)[:byte]))
    reason = message.replace("JSON is malformed: ", "").replace(found[0], "").strip()
    return f"not valid JSON: {reason} at byte {byte} (line {line})"


def _chunks(view: memoryview) -> Iterator[bytes]:
    for start in range(0, len(view), COUNT_BYTES):
        yield bytes(view[start : start + COUNT_BYTES])
