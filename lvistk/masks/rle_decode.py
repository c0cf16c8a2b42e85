"""The decoder of compressed RLEs: bytes to runs, and to spans of foreground.

The text of an RLE is numbers of five bits a byte, the lowest first; bit 5 of a byte says that more follow.
The numbers are the runs, background first; from the fourth on each is the difference to the run two before.

``spans_of_rle`` is the way in. Masks as programs write them (no run empty, numbers of up to 30 bits) are
decoded 64 bytes at a time: one comparison finds the ends of numbers in 64 bytes, and a number of up to eight
bytes is one load. Every other text is read byte by byte (``decode_counts``), which keeps empty runs and
tells a broken text.
"""

from typing import NamedTuple

import numpy as np

from lvistk.jit import kernel
from lvistk.masks.codes import BAD_COUNTS, MOST_PIXELS, OK, TOO_LARGE
from lvistk.masks.spans import box_of_spans
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


class Scratch(NamedTuple):
    """Arrays that RLEs of up to L bytes or runs are decoded in; a mask stays there until the next one.

    runs: (L,) int64, the runs where ``spans_of_rle`` says that it read them
    numbers: (L + SLACK,) int32
    plain: (L + SLACK,) uint8
    starts: (L // 2 + 1,) uint32, first pixels of the spans
    stops: (L // 2 + 1,) uint32, pixels behind the spans
    """

    runs: np.ndarray
    numbers: np.ndarray
    plain: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


@kernel
def new_scratch(longest):
    """Scratch for RLEs of up to ``longest`` bytes or runs."""
    return Scratch(
        np.empty(longest, np.int64),
        np.empty(longest + SLACK, np.int32),
        np.empty(longest + SLACK, np.uint8),
        np.empty(longest // 2 + 1, np.uint32),
        np.empty(longest // 2 + 1, np.uint32),
    )


@kernel
def spans_of_rle(text, first, last, escaped, total, scratch):
    """Decode the RLE ``text[first:last]`` of ``total`` pixels: (number of spans, area, runs, code).

    text: (B,) uint8, which goes on for SLACK bytes after ``last``
    escaped: whether the text stands in a JSON string, where a backslash is doubled
    scratch: has the fields of ``Scratch`` with room for ``last - first``; the spans are put there
    runs: how many runs stand in ``scratch.runs``; -1 where none is empty and they were not needed
    """
    if total > MOST_PIXELS:
        return 0, 0, -1, TOO_LARGE
    m, area, regular = spans_of_text(
        text,
        first,
        last,
        escaped,
        total,
        scratch.plain,
        scratch.numbers,
        scratch.starts,
        scratch.stops,
    )
    if regular:
        return m, area, -1, OK
    count, code = decode_counts(text, first, last, escaped, scratch.runs)
    if code == OK:
        m, area, code = spans_of_runs(scratch.runs, count, total, scratch.starts, scratch.stops)
    return m, area, count, code


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


@kernel
def decode_counts(text, first, last, escaped, counts):
    """Runs of the compressed RLE ``text[first:last]`` into ``counts``: (number of runs, code).

    ``counts`` has room for last - first; ``escaped``: the text stands in a JSON string, where a backslash
    is doubled.
    """
    n = 0
    p = first
    while p < last:
        value = 0
        shift = 0
        more = True
        while more:
            if p >= last or shift > 30:
                return n, BAD_COUNTS
            c = np.int64(text[p]) - 48
            p += 1
            if escaped and c == 44:
                if p >= last or text[p] != 92:
                    return n, BAD_COUNTS
                p += 1
            if c < 0 or c > 63:
                return n, BAD_COUNTS
            value |= (c & 31) << shift
            shift += 5
            more = (c & 32) != 0
            if not more and (c & 16) != 0:
                value |= -1 << shift
        if n > 2:
            value += counts[n - 2]
        if value < 0:
            return n, BAD_COUNTS
        counts[n] = value
        n += 1
    return n, OK


@kernel
def spans_of_runs(counts, n, total, starts, stops):
    """Spans of n runs that begin with background: (number, area, code).

    ``starts`` and ``stops`` have room for n // 2 + 1; ``total`` is height * width.
    """
    if total > MOST_PIXELS:
        return 0, 0, TOO_LARGE
    m = 0
    area = 0
    position = 0
    for k in range(n):
        run = counts[k]
        if run < 0 or position + run > total:
            return 0, 0, BAD_COUNTS
        if k % 2 == 1 and run > 0:
            if m > 0 and np.int64(stops[m - 1]) == position:
                stops[m - 1] = position + run
            else:
                starts[m] = position
                stops[m] = position + run
                m += 1
            area += run
        position += run
    if position != total:
        return 0, 0, BAD_COUNTS
    return m, area, OK


@kernel
def extents_of_rles(text, offsets, height, width, areas, boxes):
    """Areas (N,) and tight boxes (N, 4) xyxy of the RLEs ``text[offsets[k]:offsets[k + 1]]``: (mask, code).

    The mask that a code other than OK is about ends the work. ``text`` goes on for SLACK bytes.
    """
    longest = 0
    for k in range(len(areas)):
        longest = max(longest, offsets[k + 1] - offsets[k])
    scratch = new_scratch(longest)
    box = np.zeros(4, np.int64)
    for k in range(len(areas)):
        m, area, _, code = spans_of_rle(
            text, offsets[k], offsets[k + 1], False, height * width, scratch
        )
        if code != OK:
            return k, code
        box_of_spans(scratch.starts, scratch.stops, m, height, box)
        areas[k] = area
        boxes[k, 0], boxes[k, 1] = box[0], box[1]
        boxes[k, 2], boxes[k, 3] = box[0] + box[2], box[1] + box[3]
    return 0, OK


@kernel
def bitmap_of_rle(text, last, bitmap):
    """Draw the RLE ``text[:last]`` into ``bitmap (H * W,)`` of zeros, column after column: its code."""
    scratch = new_scratch(last)
    m, _, _, code = spans_of_rle(text, 0, last, False, len(bitmap), scratch)
    if code == OK:
        for k in range(m):
            bitmap[scratch.starts[k] : scratch.stops[k]] = 1
    return code
