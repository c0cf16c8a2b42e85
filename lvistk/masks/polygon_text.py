"""Polygon coordinates straight from JSON bytes to flat arrays.

``[[1.5, 2, ...], ...]`` of a million instances holds some 150 million numbers; as Python floats on the
way they cost more time than everything else of the index together. Importing this module imports
numba, so that it pays on large inputs only.
"""

import numba
import numpy as np

OPEN, CLOSE, COMMA, MINUS, POINT = (ord(sign) for sign in "[],-.")
ZERO, NINE = ord("0"), ord("9")
BLANKS = (32, 9, 10, 13)
MOST_DIGITS = 18
"""So many digits fit an int64. The quotient by a power of ten is then off by less than 2 ** -51 of itself,
which float32 does not show but once in some 2 ** 27 numbers, by its last bit."""
_TENS = 10.0 ** np.arange(MOST_DIGITS + 1)


def scan_polygons(
    data: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parse N instances; instance n is the JSON text ``data[start[n]:start[n + 1]]`` (uint8).

    Returns ``numbers (X,)`` float32, ``part_length (R,)`` int64 in numbers, ``part_count (N,)`` int64,
    and ``plain (N,)`` bool: False, with no part, where the text is no list of lists of plain numbers
    (an exponent, more than 18 digits, something else): those need a full reader.
    """
    numbers = np.empty(len(data) // 2 + 1, np.float32)
    lengths = np.empty(len(data) // 2 + 1, np.int64)
    counts = np.zeros(len(start) - 1, np.int64)
    plain = np.zeros(len(start) - 1, np.bool_)
    used, parts = _scan(data, start, numbers, lengths, counts, plain)
    return numbers[:used].copy(), lengths[:parts].copy(), counts, plain


@numba.njit(cache=True)
def _scan(data, start, numbers, lengths, counts, plain):
    used = parts = 0
    for instance in range(len(start) - 1):
        first_number, first_part = used, parts
        used, parts, fine = _scan_one(
            data, start[instance], start[instance + 1], numbers, lengths, used, parts
        )
        plain[instance] = fine
        if fine:
            counts[instance] = parts - first_part
        else:
            used, parts = first_number, first_part
    return used, parts


@numba.njit(cache=True)
def _scan_one(data, place, end, numbers, lengths, used, parts):
    """One instance from ``place`` to ``end``; the JSON is known to be well formed."""
    depth = 0
    opened = used
    while place < end:
        byte = data[place]
        if byte == COMMA or byte in BLANKS:
            place += 1
        elif byte == OPEN:
            depth += 1
            if depth > 2:
                return used, parts, False
            opened = used
            place += 1
        elif byte == CLOSE:
            if depth == 2:
                lengths[parts] = used - opened
                parts += 1
            depth -= 1
            place += 1
        elif depth == 2 and (byte == MINUS or ZERO <= byte <= NINE):
            value, place, fine = _number(data, place, end)
            if not fine:
                return used, parts, False
            numbers[used] = value
            used += 1
        else:
            return used, parts, False
    return used, parts, depth == 0


@numba.njit(cache=True)
def _number(data, place, end):
    """The number at ``place``, the place after it, and whether it could be read."""
    negative = data[place] == MINUS
    if negative:
        place += 1
    whole = 0
    digits = decimals = 0
    after_point = False
    while place < end:
        byte = data[place]
        if ZERO <= byte <= NINE:
            whole = whole * 10 + (byte - ZERO)
            digits += 1
            decimals += after_point
        elif byte == POINT and not after_point:
            after_point = True
        else:
            break
        place += 1
    if digits == 0 or digits > MOST_DIGITS:
        return 0.0, place, False
    value = whole / _TENS[decimals]
    return (-value if negative else value), place, True
