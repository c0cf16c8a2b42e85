"""The reader of polygons: from the bytes of JSON to numbers, compiled.

``[[1.5, 2, ...], ...]`` of a million instances holds some 150 million numbers; as Python floats on the
way they would cost more time than everything else of the index together. The evaluation's scanner reads
polygons by ``read_polygons`` among a record's other fields, the index by ``scan_polygons``. Importing this
module imports numba, so that it pays on large inputs only.
"""

from collections.abc import Sequence

import numpy as np

from lvistk.jit import kernel
from lvistk.json_numbers import PARSED, UNUSUAL, read_numbers, skip_space
from lvistk.masks.polygons import starts
from lvistk.wide import BLOCK, byte_at

OPEN, CLOSE, COMMA = (ord(sign) for sign in "[],")
PADDING = 2 * BLOCK
"""Bytes that must follow a text: blocks are read whole, the last ones beyond its end."""


def scan_polygons(
    texts: Sequence[bytes | memoryview],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parse the polygons of N instances, each the JSON text of its ``segmentation``.

    Returns ``numbers (X,)`` float32, ``part_length (R,)`` int64 in numbers, ``part_count (N,)`` int64,
    and ``plain (N,)`` bool: False, with no part, where the text is no list of lists of numbers, which
    is for a full reader to explain.
    """
    offsets = starts([memoryview(text).nbytes for text in texts])
    data = np.frombuffer(bytearray().join([*texts, bytes(PADDING)]), np.uint8)
    numbers = np.empty(len(data) // 2 + 1, np.float32)
    lengths = np.empty(len(data) // 2 + 1, np.int64)
    counts = np.zeros(len(texts), np.int64)
    plain = np.zeros(len(texts), np.bool_)
    used, parts = _scan(data, offsets, numbers, lengths, counts, plain)
    return numbers[:used].copy(), lengths[:parts].copy(), counts, plain


@kernel
def _scan(data, offsets, numbers, lengths, counts, plain):
    """Fill the arrays of ``scan_polygons``: how many numbers and parts."""
    longest = 0
    for k in range(len(counts)):
        longest = max(longest, offsets[k + 1] - offsets[k])
    one = np.empty(longest + 8, np.float64)  # of one instance: no number is shorter than a byte
    used = parts = 0
    for k in range(len(counts)):
        p, stop = skip_space(data, offsets[k]), offsets[k + 1]
        if p >= stop or byte_at(data, p) != OPEN:
            continue
        _, p, code = read_polygons(data, p, stop, one, 0)
        if code != PARSED or skip_space(data, p) < stop:
            continue
        first_number, first_part, finite = used, parts, True
        i = 1
        for _ in range(np.int64(one[0])):
            length = np.int64(one[i])
            for j in range(i + 1, i + 1 + length):
                numbers[used] = one[j]
                finite &= np.isfinite(one[j])  # JSON has no NaN, but some tools write it
                used += 1
            lengths[parts] = length
            parts += 1
            i += 1 + length
        plain[k] = finite
        if finite:
            counts[k] = parts - first_part
        else:
            used, parts = first_number, first_part
    return used, parts


@kernel
def read_polygons(text, p, stop, numbers, n):
    """The polygons at p, one instance, put at ``numbers[n:]``: (n after them, offset after them, code).

    text: (B,) uint8, which goes on for PADDING bytes after ``stop``
    numbers: float64; they get the number of parts, then for each part its number of coordinates and these
    code: PARSED, or UNUSUAL for what is no list of lists of numbers
    """
    head = n
    numbers[head] = 0
    n += 1
    p = skip_space(text, p + 1)
    if byte_at(text, p) == CLOSE:
        return n, p + 1, PARSED
    while p < stop:
        length = n
        n, p, code = read_numbers(text, p, stop, numbers, n + 1)
        numbers[length] = n - length - 1
        numbers[head] += 1
        p = skip_space(text, p)
        if code != PARSED or (byte_at(text, p) != COMMA and byte_at(text, p) != CLOSE):
            return n, p, UNUSUAL
        if byte_at(text, p) == CLOSE:
            return n, p + 1, PARSED
        p = skip_space(text, p + 1)
    return n, p, UNUSUAL
