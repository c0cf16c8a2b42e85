"""Where JSON stops making sense: the reason, the line, the record and what to do."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON with msgspec can raise."""
COUNT_BYTES = 1 << 20
WINDOW = 1 << 16
"""Bytes around a fault in which the record that holds it is looked for."""
_RANGE = re.compile(r"Expected '\w+' (>=|<=|>|<) (\S+) - at '\$\.(\w+)'")
RANGE_WORDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_NOT_NUMBERS = re.compile(rb"-?(NaN|Infinity|nan|inf)")
_IDS = {
    name: re.compile(rb'"%s"\s*:\s*("[^"]{1,80}"|-?\d{1,40})' % name.encode())
    for name in ("id", "image_id", "category_id")
}


def json_fault(data: Any, error: Exception) -> str:
    """One line for ``error`` (of JSON_ERRORS) in the JSON ``data`` (bytes-like), without the file's name."""
    view = memoryview(data)
    if isinstance(error, RecursionError):
        return "nested too deeply (thousands of brackets inside each other); no such file is meant"
    if isinstance(error, msgspec.ValidationError):
        return plain_message(error)
    message = str(error)
    byte = _byte_of(error, message)
    if "truncated" in message:
        return (
            f"broken or cut off: the JSON stops in the middle, at byte {len(view)}; write it again"
        )
    if byte is None:
        return f"broken or cut off: {message}"
    where = f"byte {byte} (line {1 + _lines(view[:byte])})"
    start = byte - 1 if bytes(view[byte - 1 : byte]) == b"-" else byte
    number = _NOT_NUMBERS.match(bytes(view[start : start + 16]))
    if number:
        name = number[0].decode()
        return f"{record_at(view, byte)}{name} is not a number, at {where}; write a number or leave it out"
    reason = re.sub(r"\s*\(byte \d+\)|JSON is malformed: ", "", message).strip()
    mend = "; remove the comma" if "trailing comma" in reason else ""
    return f"broken or cut off: not valid JSON: {reason} at {where}{mend}"


def plain_message(error: Exception) -> str:
    """msgspec's message without its backticks, which are marks in some terminals; a range in words."""
    message = str(error).replace("`", "'")
    match = _RANGE.fullmatch(message)
    return f"{match[3]} must be {RANGE_WORDS[match[1]]} {match[2]}" if match else message


def _byte_of(error: Exception, message: str) -> int | None:
    if isinstance(error, UnicodeDecodeError):
        return error.start
    match = re.search(r"\(byte (\d+)\)", message)
    return int(match[1]) if match else None


def _lines(view: memoryview) -> int:
    return sum(chunk.count(b"\n") for chunk in _chunks(view))


def _chunks(view: memoryview) -> Iterator[bytes]:
    for start in range(0, len(view), COUNT_BYTES):
        yield bytes(view[start : start + COUNT_BYTES])


def record_at(view: memoryview, byte: int) -> str:
    """``annotation 5: ``, ``image 7: `` or the like for the record around ``byte``; '' where none has ids."""
    first = max(byte - WINDOW, 0)
    before, after = bytes(view[first:byte]), bytes(view[byte : byte + WINDOW])
    start = len(before)
    for _ in range(3):  # an RLE is an object inside its record
        start = _opening(before, start)
        if start < 0:
            return ""
        end = _closing(after)
        text = before[start:] + after[:end]
        ids = {
            name: match[1].decode() for name, kind in _IDS.items() if (match := kind.search(text))
        }
        if "id" in ids and "image_id" in ids:
            return f"annotation {ids['id']}: "
        if "image_id" in ids:
            return f"the detection of image {ids['image_id']}, category {ids.get('category_id', '?')}: "
        if "id" in ids:
            return f"record with id {ids['id']}: "
    return ""


def _opening(text: bytes, stop: int) -> int:
    """Offset of the last brace before ``stop`` that is open there; -1 for none."""
    depth = 0
    for k in range(stop - 1, -1, -1):
        if text[k] == 125:
            depth += 1
        elif text[k] == 123:
            if not depth:
                return k
            depth -= 1
    return -1


def _closing(text: bytes) -> int:
    """Offset of the first brace that closes what was open at the beginning; the length for none."""
    depth = 0
    for k, byte in enumerate(text):
        if byte == 123:
            depth += 1
        elif byte == 125:
            if not depth:
                return k
            depth -= 1
    return len(text)
