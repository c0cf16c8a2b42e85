"""Keys, strings and numbers of JSON text.

Offsets are of bytes in ``text (bytes,)`` uint8; the text goes on for PADDING zeros after ``stop``.
"""

import numpy as np

from lvistk.jit import kernel
from lvistk.json_numbers import PARSED, UNUSUAL, parse_number, read_digits, skip_space
from lvistk.wide import (
    BLOCK,
    byte_at,
    lowest_bit,
    places_of,
    word_at,
)

_NAMES = (
    b"image_id",
    b"category_id",
    b"score",
    b"bbox",
    b"segmentation",
    b"id",
    b"area",
    b"ignore",
    b"counts",
    b"size",
)
IMAGE_ID, CATEGORY_ID, SCORE, BBOX, SEGMENTATION, ID, AREA, IGNORE, COUNTS, SIZE, OTHER = range(11)
_LENGTHS = np.array([len(name) for name in _NAMES])


def _words(names: tuple[bytes, ...], start: int) -> np.ndarray:
    """Bytes start:start + 8 of each name as one uint64, zeros behind its end."""
    padded = [name[start : start + 8].ljust(8, b"\0") for name in names]
    return np.frombuffer(b"".join(padded), "<u8").astype(np.uint64)


_HEADS, _TAILS = _words(_NAMES, 0), _words(_NAMES, 8)
_FIRST_BYTES = np.array([2 ** (8 * n) - 1 for n in range(9)], np.uint64)
"""Masks of the first n bytes of a word."""


@kernel
def string_end(text, p, stop):
    """Offset of the quote that closes the string whose text begins at p; -1 where none does."""
    while p < stop:
        byte = byte_at(text, p)
        if byte == 34:
            return p
        p += 2 if byte == 92 else 1
    return -1


@kernel
def read_key(text, p, stop):
    """The key at p and its colon: (key's number, offset of the value, code)."""
    first = p + 1
    length = lowest_bit(places_of(text, first, 34))
    if byte_at(text, p) != 34 or length == BLOCK or first + length >= stop:
        return OTHER, p, UNUSUAL
    head = word_at(text, first) & _FIRST_BYTES[min(length, 8)]
    tail = word_at(text, first + 8) & _FIRST_BYTES[min(max(length - 8, 0), 8)]
    key = OTHER
    for k in range(len(_LENGTHS)):
        if head == _HEADS[k] and tail == _TAILS[k] and length == _LENGTHS[k]:
            key = k
    if key == OTHER and lowest_bit(places_of(text, first, 92)) < length:  # escaped, so who knows
        return OTHER, p, UNUSUAL
    p = skip_space(text, first + length + 1)
    if byte_at(text, p) != 58:
        return OTHER, p, UNUSUAL
    return key, skip_space(text, p + 1), PARSED


@kernel
def skip_value(text, p, stop):
    """The offset after the value at p, whatever it is: (offset, code)."""
    depth = 0
    while p < stop:
        c = byte_at(text, p)
        if c == 34:
            p = string_end(text, p + 1, stop)
            if p < 0:
                return stop, UNUSUAL
        elif c == 123 or c == 91:
            depth += 1
        elif c == 125 or c == 93:
            if depth == 0:
                return p, PARSED
            depth -= 1
        elif c == 44 and depth == 0:
            return p, PARSED
        p += 1
    return stop, UNUSUAL


@kernel
def read_integer(text, p):
    """An integer (a float without fraction counts): (value, offset, code)."""
    first = p + (byte_at(text, p) == 45)
    digits, q = read_digits(text, first, np.uint64(0))
    if q == first or q - first > 18 or (byte_at(text, first) == 48 and q > first + 1):
        return 0, p, UNUSUAL
    c = byte_at(text, q)
    if c == 46 or c == 101 or c == 69:
        number, q, code = parse_number(text, p)
        if code != PARSED or number != np.floor(number) or abs(number) > 2.0**53:
            return 0, p, UNUSUAL
        return np.int64(number), q, PARSED
    value = np.int64(digits)
    return -value if first > p else value, q, PARSED
