"""The boundary of a mask: its pixels within a distance of the outside (Boundary IoU, arXiv 2103.16562).

The distance d is 2% of the image's diagonal, rounded, at least 1 pixel; it is counted in steps between 8
neighbours, and what is beyond the image's border is outside. So the boundary is the mask without its erosion
by a square of side 2d + 1.
"""

import numpy as np

from lvistk.jit import kernel
from lvistk.masks.spans import grown

DILATION_RATIO = 0.02


def boundary_distances(heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Distance (I,) int64 in pixels for images of ``heights`` and ``widths`` (I,)."""
    diagonals = np.sqrt(heights.astype(np.float64) ** 2 + widths.astype(np.float64) ** 2)
    return np.maximum(np.round(DILATION_RATIO * diagonals), 1).astype(np.int64)


@kernel
def boundary_spans(starts, stops, n, height, box, distance):
    """Spans of the boundary of a mask: (starts, stops, number, area).

    starts, stops: (n,) uint32, the mask's spans
    height: of the image, in pixels
    box: (4,) int64, the mask's tight x, y, width, height
    distance: in pixels
    """
    x0, y0, columns, rows = box[0], box[1], box[2], box[3]
    side = 2 * distance + 1
    m = 0
    area = 0
    if columns < side or rows < side:  # nothing survives the erosion
        for k in range(n):
            area += np.int64(stops[k]) - np.int64(starts[k])
        return starts, stops, n, area
    out_starts = np.empty(4 * n + 64, np.uint32)
    out_stops = np.empty(4 * n + 64, np.uint32)
    # depth[r]: how many columns in a row, up to this one, have row r in their vertical erosion
    depth = np.zeros(rows, np.int32)
    upright = np.zeros(rows, np.uint8)
    lead = 0  # span that the leading column has reached
    trail = 0
    for column in range(columns + distance):
        if column < columns:
            foot = (x0 + column) * height
            for r in range(rows):
                upright[r] = 0
            while lead < n and np.int64(stops[lead]) <= foot:
                lead += 1
            k = lead
            while k < n and np.int64(starts[k]) < foot + height:
                low = max(np.int64(starts[k]) - foot, 0) - y0
                high = min(np.int64(stops[k]) - foot, height) - y0
                for r in range(low + distance, high - distance):
                    upright[r] = 1
                k += 1
            for r in range(rows):
                depth[r] = (depth[r] + 1) * upright[r]
        else:
            for r in range(rows):
                depth[r] = 0
        # now the column ``distance`` before this one is known: its pixels of full depth are inside
        behind = column - distance
        if behind < 0:
            continue
        foot = (x0 + behind) * height
        while trail < n and np.int64(stops[trail]) <= foot:
            trail += 1
        k = trail
        while k < n and np.int64(starts[k]) < foot + height:
            low = max(np.int64(starts[k]), foot)
            high = min(np.int64(stops[k]), foot + height)
            r = low + distance
            begin = low
            while r < high - distance:
                if depth[r - foot - y0] >= side:
                    if r > begin:
                        out_starts, out_stops, m = _add_span(out_starts, out_stops, m, begin, r)
                        area += r - begin
                    while r < high - distance and depth[r - foot - y0] >= side:
                        r += 1
                    begin = r
                else:
                    r += 1
            if high > begin:
                out_starts, out_stops, m = _add_span(out_starts, out_stops, m, begin, high)
                area += high - begin
            k += 1
    return out_starts, out_stops, m, area


@kernel
def _add_span(starts, stops, n, start, stop):
    """Append a span, or lengthen the last one where it ends at ``start``: (starts, stops, number)."""
    if n > 0 and np.int64(stops[n - 1]) == start:
        stops[n - 1] = stop
        return starts, stops, n
    if n >= len(starts):
        starts = grown(starts, n + 1)
        stops = grown(stops, n + 1)
    starts[n] = start
    stops[n] = stop
    return starts, stops, n + 1


@kernel
def boundaries_of_gts(heights, images, rows, starts, stops, boxes, distances, first, last):
    """Boundaries of ground truth instances first:last: (counts, starts, stops, areas)."""
    counts = np.zeros(last - first, np.int64)
    areas = np.zeros(last - first, np.int64)
    out_starts = np.empty(1024, np.uint32)
    out_stops = np.empty(1024, np.uint32)
    used = 0
    for g in range(first, last):
        a, b = rows[g], rows[g + 1]
        image = images[g]
        some_starts, some_stops, n, area = boundary_spans(
            starts[a:b],
            stops[a:b],
            b - a,
            np.int64(heights[image]),
            boxes[g].astype(np.int64),
            distances[image],
        )
        if used + n > len(out_starts):
            out_starts = grown(out_starts, used + n)
            out_stops = grown(out_stops, used + n)
        for k in range(n):
            out_starts[used + k] = some_starts[k]
            out_stops[used + k] = some_stops[k]
        used += n
        counts[g - first] = n
        areas[g - first] = area
    return counts, out_starts[:used], out_stops[:used], areas
