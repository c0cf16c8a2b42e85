"""Decimal numbers of JSON text to the nearest float64, compiled.

Fourteen to nineteen digits are the rule in scores and boxes, and ties between scores decide the order of
detections, so the result must be the correctly rounded one: exact products where 53 bits suffice, else the
algorithm of Lemire, "Number Parsing at a Gigabyte per Second" (arXiv 2101.11408). What neither settles
is reported as UNUSUAL, and the caller falls back to a general parser.
"""

import numpy as np

from lvistk.evaluation.jit import kernel

PARSED = 0
UNUSUAL = 1
LEAST, MOST = -80, 60
"""Powers of ten in the table; beyond them a number is UNUSUAL."""
DIGITS = 19
"""Decimal digits that fit 64 bits."""


def _power_table() -> np.ndarray:
    """High and low 64 bits of 5**q, scaled to 128 bits, for q = LEAST..MOST (section 5 there)."""
    rows = []
    for q in range(LEAST, MOST + 1):
        if q >= 0:
            value = 5**q
            value = value << (128 - value.bit_length()) if value.bit_length() < 128 else value
            value >>= max(value.bit_length() - 128, 0)
        else:
            bits = (5**-q - 1).bit_length()
            value = 2 ** (bits + 127 if q >= -27 else 2 * bits + 128) // 5**-q + 1
            value >>= max(value.bit_length() - 128, 0)
        rows.append((value >> 64, value & (2**64 - 1)))
    return np.array(rows, np.uint64)


_POWERS_OF_FIVE = _power_table()
_POWERS_OF_TEN = np.array([10.0**k for k in range(23)])
_POWERS_OF_TWO = np.array([2.0**k for k in range(-400, 401)])
_U = np.uint64
_LOW_32 = np.uint64(0xFFFFFFFF)


@kernel
def _product(a, b):
    """High and low 64 bits of a * b, all uint64."""
    a0, a1 = a & _LOW_32, a >> _U(32)
    b0, b1 = b & _LOW_32, b >> _U(32)
    low = a0 * b0
    middle = a1 * b0 + (low >> _U(32))
    other = a0 * b1 + (middle & _LOW_32)
    high = a1 * b1 + (middle >> _U(32)) + (other >> _U(32))
    return high, (other << _U(32)) | (low & _LOW_32)


@kernel
def _leading_zeros(w):
    n = 0
    for shift in (32, 16, 8, 4, 2, 1):
        if w >> _U(64 - shift) == _U(0):
            n += shift
            w = w << _U(shift)
    return n


@kernel
def nearest_double(w, q):
    """The float64 nearest to w * 10**q (w uint64, not 0): (value, code)."""
    if q == 0 and w <= _U(1 << 53):
        return float(w), PARSED
    if w <= _U(1 << 53) and -22 <= q <= 22:
        if q < 0:
            return float(w) / _POWERS_OF_TEN[-q], PARSED
        return float(w) * _POWERS_OF_TEN[q], PARSED
    if q < LEAST or q > MOST:
        return 0.0, UNUSUAL
    zeros = _leading_zeros(w)
    w = w << _U(zeros)
    high, low = _product(w, _POWERS_OF_FIVE[q - LEAST, 0])
    if high & _U(0x1FF) == _U(0x1FF):
        carry, _ = _product(w, _POWERS_OF_FIVE[q - LEAST, 1])
        low = low + carry
        if low < carry:
            high = high + _U(1)
        if low == _U(0xFFFFFFFFFFFFFFFF):
            return 0.0, UNUSUAL
    upper = np.int64(high >> _U(63))
    shift = upper + 9
    mantissa = high >> _U(shift)
    exponent = ((217706 * q) >> 16) + upper - zeros + 63
    # exactly between two doubles: round to even
    halfway = low <= _U(1) and -4 <= q <= 23 and mantissa & _U(3) == _U(1)
    if halfway and mantissa << _U(shift) == high:
        mantissa = mantissa & _U(0xFFFFFFFFFFFFFFFE)
    mantissa = (mantissa + (mantissa & _U(1))) >> _U(1)
    return float(mantissa) * _POWERS_OF_TWO[exponent - 52 + 400], PARSED


@kernel
def parse_number(text, p):
    """The number at ``text[p:]``: (value, place after it, code).

    ``NaN``, ``Infinity`` and ``-Infinity`` are read as Python's json reads them. The text must go on for
    16 bytes after the number; anything that is no number is UNUSUAL.
    """
    negative = text[p] == 45
    if negative:
        p += 1
    w = _U(0)
    digits = 0
    q = 0
    lost = False
    first = p
    while 48 <= text[p] <= 57:
        if digits < DIGITS:
            w = w * _U(10) + _U(text[p] - 48)
            digits += w != _U(0)
        else:
            q += 1
            lost = True
        p += 1
    if p == first:
        return _parse_word(text, p, negative)
    if text[first] == 48 and p > first + 1:  # no number of JSON begins with 0 and a digit
        return 0.0, p, UNUSUAL
    if text[p] == 46:
        p += 1
        point = p
        while 48 <= text[p] <= 57:
            if digits < DIGITS:
                w = w * _U(10) + _U(text[p] - 48)
                digits += w != _U(0)
                q -= 1
            else:
                lost = True
            p += 1
        if p == point:
            return 0.0, p, UNUSUAL
    if text[p] == 101 or text[p] == 69:
        p += 1
        down = text[p] == 45
        if down or text[p] == 43:
            p += 1
        e = 0
        point = p
        while 48 <= text[p] <= 57:
            e = min(e * 10 + np.int64(text[p]) - 48, 99999)
            p += 1
        if p == point:
            return 0.0, p, UNUSUAL
        q += -e if down else e
    if lost:
        return 0.0, p, UNUSUAL
    if w == _U(0):
        return (-0.0 if negative else 0.0), p, PARSED
    value, code = nearest_double(w, q)
    return (-value if negative else value), p, code


@kernel
def _parse_word(text, p, negative):
    if text[p] == 78 and text[p + 1] == 97 and text[p + 2] == 78 and not negative:
        return np.nan, p + 3, PARSED
    if text[p] == 73 and text[p + 1] == 110 and text[p + 2] == 102 and text[p + 7] == 121:
        return (-np.inf if negative else np.inf), p + 8, PARSED
    return 0.0, p, UNUSUAL
