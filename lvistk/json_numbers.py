"""Decimal numbers of JSON text, alone and in flat lists, to the nearest float64, compiled.

Fourteen to nineteen digits are the rule in scores and boxes, and ties between scores decide the order of
detections, so the result must be the correctly rounded one: exact products where 53 bits suffice, else the
algorithm of Lemire, "Number Parsing at a Gigabyte per Second" (arXiv 2101.11408). What neither settles
is reported as UNUSUAL, and the caller falls back to a general parser.
"""

import numpy as np

from lvistk.jit import kernel
from lvistk.wide import (
    byte_at,
    high_product,
    leading_zeros,
    lowest_bit,
    word_at,
)

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
_NAN, _INFINITY = np.frombuffer(b"NaN" + bytes(5) + b"Infinity", "<u8").astype(np.uint64)
_WORD_OF_ZEROS = np.uint64(0x3030303030303030)
_POWERS_OF_TEN_U = np.array([10**k for k in range(9)], np.uint64)


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
    zeros = leading_zeros(w)
    w = w << _U(zeros)
    scale = _POWERS_OF_FIVE[q - LEAST, 0]
    high, low = high_product(w, scale), w * scale
    if high & _U(0x1FF) == _U(0x1FF):
        carry = high_product(w, _POWERS_OF_FIVE[q - LEAST, 1])
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
def read_digits(text, p, w):
    """w with the digits at p appended: (w, offset after them); 20 digits or more overflow."""
    while True:
        word = word_at(text, p) ^ _WORD_OF_ZEROS  # a digit is a byte below 10
        odd = (word | (word + _U(0x0606060606060606))) & _U(0xF0F0F0F0F0F0F0F0)
        n = lowest_bit(odd) >> 3
        if n == 0:
            return w, p
        word = word << _U(64 - 8 * n)  # zeros in front
        word = (word * _U(10)) + (word >> _U(8))
        pairs = (word & _U(0x000000FF000000FF)) * _U(0x000F424000000064)
        pairs += ((word >> _U(16)) & _U(0x000000FF000000FF)) * _U(0x0000271000000001)
        w = w * _POWERS_OF_TEN_U[n] + (pairs >> _U(32))
        p += n
        if n < 8:
            return w, p


@kernel
def _significant(text, p):
    """Digits at p without the zeros before them: (w, power of ten, offset, whether any was lost)."""
    w = _U(0)
    digits = 0
    q = 0
    lost = False
    point = False
    while True:
        c = byte_at(text, p)
        if c == 46 and not point:
            point = True
        elif 48 <= c <= 57:
            if digits < DIGITS:
                w = w * _U(10) + _U(c - 48)
                digits += w != _U(0)
                q -= point
            else:
                q += not point
                lost = True
        else:
            return w, q, p, lost
        p += 1


@kernel
def parse_number(text, p):
    """The number at ``text[p:]``: (value, offset after it, code).

    ``NaN``, ``Infinity`` and ``-Infinity`` are read as Python's json reads them. The text must go on for
    64 bytes after the number; anything that is no number is UNUSUAL.
    """
    negative = byte_at(text, p) == 45
    if negative:
        p += 1
    first = p
    w, p = read_digits(text, p, _U(0))
    if p == first:
        return _parse_word(text, p, negative)
    if byte_at(text, first) == 48 and p > first + 1:  # no number of JSON begins with 0 and a digit
        return 0.0, p, UNUSUAL
    q = 0
    digits = p - first
    if byte_at(text, p) == 46:
        point = p + 1
        w, p = read_digits(text, point, w)
        if p == point:
            return 0.0, p, UNUSUAL
        q = point - p
        digits -= q
    if digits > DIGITS:
        w, q, p, lost = _significant(text, first)
        if lost:
            return 0.0, p, UNUSUAL
    if byte_at(text, p) | 32 == 101:
        e, p, code = _exponent(text, p + 1)
        if code != PARSED:
            return 0.0, p, UNUSUAL
        q += e
    if w == _U(0):
        return (-0.0 if negative else 0.0), p, PARSED
    value, code = nearest_double(w, q)
    return (-value if negative else value), p, code


@kernel
def _exponent(text, p):
    """The exponent at p, behind its letter: (value, offset, code)."""
    down = byte_at(text, p) == 45
    if down or byte_at(text, p) == 43:
        p += 1
    e, last = read_digits(text, p, _U(0))
    if last == p or last - p > 4:
        return 0, p, UNUSUAL
    return (-np.int64(e) if down else np.int64(e)), last, PARSED


@kernel
def _parse_word(text, p, negative):
    """``NaN`` or ``Infinity`` at p, behind its sign."""
    word = word_at(text, p)
    if word & _U(0xFFFFFF) == _NAN and not negative:
        return np.nan, p + 3, PARSED
    if word == _INFINITY:
        return (-np.inf if negative else np.inf), p + 8, PARSED
    return 0.0, p, UNUSUAL


@kernel
def skip_space(text, p):
    """The offset of the first byte at or after p that is no white space."""
    c = byte_at(text, p)
    while c <= 32 and (c == 32 or c == 10 or c == 13 or c == 9):
        p += 1
        c = byte_at(text, p)
    return p


@kernel
def read_numbers(text, p, stop, numbers, n):
    """A flat list of numbers at p, put at ``numbers[n:]``: (n after it, offset after it, code)."""
    if byte_at(text, p) != 91:
        return n, p, UNUSUAL
    p = skip_space(text, p + 1)
    if byte_at(text, p) == 93:
        return n, p + 1, PARSED
    while p < stop:
        numbers[n], p, code = parse_number(text, p)
        n += 1
        p = skip_space(text, p)
        c = byte_at(text, p)
        if code != PARSED or (c != 44 and c != 93):
            return n, p, UNUSUAL
        if c == 93:
            return n, p + 1, PARSED
        p = skip_space(text, p + 1)
    return n, p, UNUSUAL
