"""Masks as spans of foreground pixels, column after column, as COCO numbers them.

A mask of n spans is ``starts (n,)`` and ``stops (n,)`` uint32: pixels starts[k] <= p < stops[k], where
pixel p lies in column p // height and row p % height. A span may run over the foot of one column into
the next. Everything here is compiled; the results equal pycocotools' (``maskApi.c``).
"""

import numpy as np

from lvistk.jit import kernel


@kernel
def grown(array, size):
    """A copy of a one-dimensional ``array`` with room for at least ``size`` items."""
    larger = np.empty(max(size, 2 * len(array)), array.dtype)
    for k in range(len(array)):
        larger[k] = array[k]
    return larger


@kernel
def box_of_runs(counts, n, height, width, box):
    """``rleToBbox``: x, y, width, height of the runs into ``box (4,)``, zeros where all is background.

    Runs of zero length move it as they do in the official code.
    """
    even = n // 2 * 2
    if even == 0 or height == 0:
        box[0], box[1], box[2], box[3] = 0, 0, 0, 0
        return
    x0, y0, x1, y1 = width, height, 0, 0
    position = 0
    before = 0
    for k in range(even):
        position += counts[k]
        # uint32, as there: a run of zero length at the very start would look before pixel 0
        t = (position - k % 2) & 0xFFFFFFFF
        y = t % height
        x = (t - y) // height
        if k % 2 == 0:
            before = x
        elif before < x:
            y0 = 0
            y1 = height - 1
        x0 = min(x0, x)
        x1 = max(x1, x)
        y0 = min(y0, y)
        y1 = max(y1, y)
    box[0], box[1], box[2], box[3] = x0, y0, x1 - x0 + 1, y1 - y0 + 1


@kernel
def box_of_spans(starts, stops, n, height, box):
    """Tight x, y, width, height of n spans into ``box (4,)``; zeros for none."""
    if n == 0:
        box[0], box[1], box[2], box[3] = 0, 0, 0, 0
        return
    x0 = np.int64(starts[0]) // height
    x1 = np.int64(stops[n - 1] - 1) // height
    y0, y1 = height, 0
    columns = 1.0 / height  # a pixel; half a pixel more and no rounding can reach the next column
    for k in range(n):
        start = np.int64(starts[k])
        foot = np.int64((start + 0.5) * columns) * height  # of the column where the span begins
        y0 = min(y0, start - foot)
        y1 = max(y1, np.int64(stops[k]) - 1 - foot)
    if y1 >= height:  # a span runs on into the next column
        y0, y1 = 0, height - 1
    box[0], box[1], box[2], box[3] = x0, y0, x1 - x0 + 1, y1 - y0 + 1


@kernel
def overlap(a_starts, a_stops, a_first, a_last, b_starts, b_stops, b_first, b_last):
    """Pixels that spans a[a_first:a_last] and b[b_first:b_last] share."""
    shared = 0
    i = a_first
    j = b_first
    while i < a_last and j < b_last:
        a_stop = np.int64(a_stops[i])
        b_stop = np.int64(b_stops[j])
        low = max(np.int64(a_starts[i]), np.int64(b_starts[j]))
        high = min(a_stop, b_stop)
        if high > low:
            shared += high - low
        if a_stop <= b_stop:
            i += 1
        else:
            j += 1
    return shared


@kernel
def union_spans(a_starts, a_stops, n, b_starts, b_stops, m):
    """Union of two masks: (starts, stops, number)."""
    starts = np.empty(n + m + 1, np.uint32)
    stops = np.empty(n + m + 1, np.uint32)
    k = 0
    i = 0
    j = 0
    while i < n or j < m:
        if j >= m or (i < n and a_starts[i] <= b_starts[j]):
            first, last = a_starts[i], a_stops[i]
            i += 1
        else:
            first, last = b_starts[j], b_stops[j]
            j += 1
        if k > 0 and first <= stops[k - 1]:
            stops[k - 1] = max(stops[k - 1], last)
        else:
            starts[k] = first
            stops[k] = last
            k += 1
    return starts, stops, k
