"""Compressed RLEs of regular masks, decoded 64 bytes at a time.

The text of an RLE holds numbers of five bits a byte, the lowest first; bit 5 says that more follow. Where
numbers end is one comparison for 64 bytes, and a number of up to eight bytes comes out of one load.
Whatever is odd (an empty run, a number too long, a wrong byte) is left to ``spans.decode_counts``.
"""

import numpy as np

from lvistk.jit import kernel
from lvistk.wide import (
    BLOCK,
    SPREAD,
    byte_at,
    copy_block,
    lowest_bit,
    places_between,
    places_of,
    spread_numbers,
    word_at,
)

SLACK = 2 * BLOCK
"""Bytes that a buffer for a text needs beyond it."""
LONGEST = 6
"""Bytes of the longest number taken here, 30 bits."""
_U = np.uint64


@kernel
def unescape(text, first, last, plain):
    """Copy ``text[first:last]`` to ``plain`` with every doubled backslash once: its length; -1 where a
    backslash stands alone. ``plain`` has room for SLACK bytes more."""
    n = 0
    p = first
    while p < last:
        backslashes = places_of(text, p, 92)
        copy_block(plain, n, text, p)
        if backslashes == _U(0):
            p += BLOCK
            n += BLOCK
            continue
        used = lowest_bit(backslashes) + 1
        if p + used < last and byte_at(text, p + used) != 92:
            return -1
        p += used + 1
        n += used
    return n - (p - last)


@kernel
def _number(word, length):
    """The signed number in the first ``length`` bytes of ``word``, at most 8."""
    x = (word - _U(0x3030303030303030)) & _U(0x1F1F1F1F1F1F1F1F)
    x = (x & _U(0x001F001F001F001F)) | ((x & _U(0x1F001F001F001F00)) >> _U(3))
    x = (x & _U(0x000003FF000003FF)) | ((x & _U(0x03FF000003FF0000)) >> _U(6))
    x = (x & _U(0xFFFFF)) | ((x >> _U(32)) << _U(20))
    unused = 64 - 5 * length
    return (np.int64(x) << unused) >> unused


@kernel
def _numbers(text, first, last, numbers):
    """The numbers in ``text[first:last]``, no backslash doubled: how many; -1 for an odd text.

    Most numbers have one byte. So in turn: all of one byte up to the next longer one, and that one.
    ``numbers`` has room for SLACK more.
    """
    n = 0
    p = first
    while p < last:
        ends = ~places_between(text, p, 80, 32)  # of numbers
        wrong = ~places_between(text, p, 48, 64)
        if wrong != _U(0) and lowest_bit(wrong) < last - p:
            return -1
        q = 0
        while q <= BLOCK - LONGEST:  # so that a number that begins here ends in this block
            rest = ends >> _U(q)
            short = lowest_bit(~rest)
            spread_numbers(numbers, n, text, p + q)
            for k in range(SPREAD, short, SPREAD):
                spread_numbers(numbers, n + k, text, p + q + k)
            n += short
            q += short
            if p + q >= last:  # what was read behind the end
                return n - (p + q - last)
            if q > BLOCK - LONGEST:
                break
            length = lowest_bit(rest >> _U(short)) + 1
            if length > LONGEST:
                return -1
            numbers[n] = _number(word_at(text, p + q), length)
            n += 1
            q += length
            if p + q >= last:
                return n if p + q == last else -1
        p += q
    return n


@kernel
def spans_of_text(text, first, last, escaped, total, plain, numbers, starts, stops):
    """Spans of the RLE ``text[first:last]`` of ``total`` pixels: (number, area, whether it was regular).

    ``plain`` (uint8) and ``numbers`` (int32) are scratch with room for last - first + SLACK. Where the mask
    is not regular, nothing else that is returned holds.
    """
    if escaped:
        last = unescape(text, first, last, plain)
        text, first = plain, 0
    n = _numbers(text, first, last, numbers)
    position, area = -1, 0
    empty, filled = 0, 0
    least = (
        0  # below 0 where a run is empty or negative, but for the first: it is counted one longer
    )
    numbers[0] += 1
    if n > 2:  # the third number is no difference: make it one
        numbers[2] -= numbers[0]
    for k in range(n >> 1):
        empty += np.int64(numbers[2 * k])
        filled += np.int64(numbers[2 * k + 1])
        least |= (empty - 1) | (filled - 1)
        position += empty
        starts[k] = position
        position += filled
        stops[k] = position
        area += filled
    if n & 1 != 0:
        empty += np.int64(numbers[n - 1])
        least |= empty - 1
        position += empty
    return n >> 1, area, n >= 0 and least >= 0 and position == total
