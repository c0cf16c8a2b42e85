"""Polygons to spans of a whole image, pixel for pixel as COCO rasterises them (``rleFrPoly``).

Training crops polygons in RoIs by the same rule but into small bitmaps, which is another task: ``roi_crops``.

In COCO's code the outline is walked on a grid five times finer, and wherever it steps between the two fine
columns in the middle of a pixel column, the fill of that column toggles at that height. Only these steps
matter, so here each edge yields its toggles directly, a fifth of the walk.
"""

import numpy as np

from lvistk.jit import kernel
from lvistk.masks.codes import BAD_POLYGON, COORDINATE_LIMIT, MOST_PIXELS, OK, TOO_LARGE
from lvistk.masks.spans import union_spans

SCALE = 5
MIDDLE = 2
"""The step from fine column 5x + 2 to 5x + 3 is the one that toggles pixel column x."""


@kernel
def _edge_columns(x0, x1, width):
    """Fine columns low (the first that toggles) and high (exclusive) that an edge crosses."""
    low = max(min(x0, x1), 0)
    return low + (MIDDLE - low) % SCALE, min(max(x0, x1), SCALE * (width - 1) + MIDDLE + 1)


@kernel
def _edge_toggles(toggles, columns, n, x0, y0, x1, y1, height, width):
    """Put the toggles of the edge between two fine points at ``toggles[n:]`` and their columns at
    ``columns[n:]``; returns the new n."""
    dx = abs(x1 - x0)
    dy = abs(y1 - y0)
    flat = dx >= dy
    if (flat and x0 > x1) or (not flat and y0 > y1):
        x0, x1, y0, y1 = x1, x0, y1, y0
    low, high = _edge_columns(x0, x1, width)
    if low >= high:
        return n
    slope = (y1 - y0) / dx if flat else (x1 - x0) / dy
    up = slope > 0
    steps = 0.0 if flat else 1 / slope
    x = low // SCALE
    for u in range(low, high, SCALE):
        if flat:  # the lower of its heights at u and at u + 1
            fine_y = np.int64(y0 + slope * (u - x0 + (slope < 0)) + 0.5)
        else:
            # the first step t after which the edge is past the middle between u and u + 1
            t = min(max(np.int64((u + 0.5 - x0) * steps), 0), dy)
            while t > 0 and (np.int64(x0 + slope * (t - 1) + 0.5) > u) == up:
                t -= 1
            while (np.int64(x0 + slope * t + 0.5) > u) != up:
                t += 1
            fine_y = y0 + t - 1
        # the pixel whose middle is not above: ceil((fine_y + 0.5) / SCALE - 0.5), inside the column
        toggles[n] = x * height + min(max(fine_y + 2, 0) // SCALE, height)
        columns[n] = x
        x += 1
        n += 1
    return n


@kernel
def _sorted(toggles, columns):
    """The toggles in order: put into their columns, then sorted there, mostly two."""
    left, right = columns[0], columns[0]
    for x in columns:
        left, right = min(left, x), max(right, x)
    ends = np.zeros(right - left + 2, np.int32)  # of the columns so far
    for x in columns:
        ends[x - left + 1] += 1
    for x in range(1, len(ends)):
        ends[x] += ends[x - 1]
    ordered = np.empty(len(toggles), np.int64)
    for k in range(len(toggles)):
        ordered[ends[columns[k] - left]] = toggles[k]
        ends[columns[k] - left] += 1
    for k in range(1, len(ordered)):
        value = ordered[k]
        j = k
        while j > 0 and ordered[j - 1] > value:
            ordered[j] = ordered[j - 1]
            j -= 1
        ordered[j] = value
    return ordered


@kernel
def _part_spans(xy, first, points, height, width):
    """Spans of one polygon ``xy[first : first + 2 * points]``: (starts, stops, number)."""
    fine = np.empty((points + 1, 2), np.int64)
    room = 0
    for k in range(points + 1):
        p = first + 2 * k if k < points else first
        fine[k, 0] = np.int64(SCALE * xy[p] + 0.5)
        fine[k, 1] = np.int64(SCALE * xy[p + 1] + 0.5)
        if k > 0:
            low, high = _edge_columns(fine[k - 1, 0], fine[k, 0], width)
            room += max(high - low, 0) // SCALE + 1
    toggles = np.empty(room, np.int64)
    columns = np.empty(room, np.int32)
    n = 0
    for k in range(points):
        n = _edge_toggles(
            toggles, columns, n, fine[k, 0], fine[k, 1], fine[k + 1, 0], fine[k + 1, 1],
            height, width,
        )  # fmt: skip
    starts = np.empty(n // 2 + 1, np.uint32)
    stops = np.empty(n // 2 + 1, np.uint32)
    m = 0
    if n == 0:
        return starts, stops, m
    toggles = _sorted(toggles[:n], columns[:n])
    for k in range(0, n, 2):
        start = toggles[k]
        stop = toggles[k + 1] if k + 1 < n else height * width
        if stop == start:
            continue
        if m > 0 and np.int64(stops[m - 1]) == start:
            stops[m - 1] = stop
        else:
            starts[m] = start
            stops[m] = stop
            m += 1
    return starts, stops, m


@kernel
def spans_of_polygons(xy, first, height, width):
    """Union of the polygons at ``xy[first:]``: (starts, stops, number, area, code).

    ``xy[first]`` is the number of parts; each part is its number of coordinates, then x and y in turn.
    """
    starts = np.empty(1, np.uint32)
    stops = np.empty(1, np.uint32)
    m = 0
    if height * width > MOST_PIXELS:
        return starts, stops, 0, 0, TOO_LARGE
    parts = np.int64(xy[first])
    p = first + 1
    if parts == 0:
        return starts, stops, 0, 0, BAD_POLYGON
    for part in range(parts):
        size = np.int64(xy[p])
        p += 1
        if size < 6 or size % 2 == 1:
            return starts, stops, 0, 0, BAD_POLYGON
        for k in range(size):
            if not abs(xy[p + k]) <= COORDINATE_LIMIT:
                return starts, stops, 0, 0, BAD_POLYGON
        s, e, k = _part_spans(xy, p, size // 2, height, width)
        if part == 0:
            starts, stops, m = s, e, k
        else:
            starts, stops, m = union_spans(starts, stops, m, s, e, k)
        p += size
    area = 0
    for k in range(m):
        area += np.int64(stops[k]) - np.int64(starts[k])
    return starts, stops, m, area, OK
