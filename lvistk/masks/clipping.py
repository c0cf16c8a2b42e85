"""Polygons under a matrix, and clipped exactly to a rectangle, with tight boxes and areas.

Coordinates are continuous: pixel i covers [i, i + 1). A part is even-odd (as COCO rasterises it); an
instance is the union of its parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lvistk.jit import kernel
from lvistk.masks.polygons import Polygons, starts

LINES_PER_PIXEL = 2.0
"""Scanlines of an area, and the fewest and most of an instance; exact in x, sampled in y."""
FEWEST_LINES, MOST_LINES = 64, 2048

Rectangle = tuple[float, float, float, float]


@dataclass(eq=False)
class Clipped:
    """Polygons within a rectangle; ``boxes (G, 4)`` float64 tight, zeros where nothing is left;
    ``touched (G,)`` bool where the rectangle took something away."""

    polygons: Polygons
    boxes: np.ndarray
    touched: np.ndarray


def map_polygons(polygons: Polygons, matrix: np.ndarray) -> Polygons:
    """The polygons under an affine matrix (2 or 3, 3), in float64."""
    points = polygons.points @ matrix[:2, :2].T + matrix[:2, 2]
    return Polygons(points, polygons.part_start, polygons.instance_start)


def select_polygons(polygons: Polygons, instances: np.ndarray) -> Polygons:
    """The instances at ``instances`` (K,), in that order."""
    parts = _ranges(polygons.instance_start, instances)
    return Polygons(
        points=polygons.points[_ranges(polygons.part_start, parts)],
        part_start=starts(np.diff(polygons.part_start)[parts]),
        instance_start=starts(np.diff(polygons.instance_start)[instances]),
    )


def concatenate_polygons(several: Sequence[Polygons]) -> Polygons:
    """The instances of several images, one after the other; at least one."""
    return Polygons(
        points=np.concatenate([p.points for p in several]),
        part_start=starts(np.concatenate([np.diff(p.part_start) for p in several])),
        instance_start=starts(np.concatenate([np.diff(p.instance_start) for p in several])),
    )


def clip_polygons(polygons: Polygons, rectangle: Rectangle) -> Clipped:
    """The polygons within ``rectangle`` (x0, y0, x1, y1), and their tight boxes.

    Each part is cut at the four sides in turn (Sutherland and Hodgman 1974), which keeps the area
    exactly. Seams along a side that this leaves between pieces have no area; the boxes leave them out.
    """
    points, part_start, instance_start, boxes, touched = _clip(
        np.ascontiguousarray(polygons.points, dtype=np.float64),
        polygons.part_start,
        polygons.instance_start,
        np.asarray(rectangle, np.float64),
    )
    return Clipped(Polygons(points, part_start, instance_start), boxes, touched)


def union_areas(polygons: Polygons) -> np.ndarray:
    """Areas (G,) float64 of the unions of parts, in square pixels."""
    points = np.ascontiguousarray(polygons.points, dtype=np.float64)
    return _areas(points, polygons.part_start, polygons.instance_start)


def _ranges(first: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Indices of ``first[i]:first[i + 1]`` for every chosen i, one after the other."""
    lengths = first[chosen + 1] - first[chosen]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first[chosen] - ends + lengths, lengths)


@kernel
def _cut(source, count, target, axis, limit, sign):  # pragma: no cover - compiled
    """The part of a polygon where ``sign * (limit - coordinate) >= 0``; returns its length."""
    written = 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        here = sign * (limit - source[i, axis])
        there = sign * (limit - source[j, axis])
        if here >= 0:
            target[written, 0] = source[i, 0]
            target[written, 1] = source[i, 1]
            written += 1
        if (here > 0 and there < 0) or (here < 0 and there > 0):
            share = here / (here - there)
            other = 1 - axis
            target[written, axis] = limit
            target[written, other] = source[i, other] + share * (
                source[j, other] - source[i, other]
            )
            written += 1
    return written


@kernel
def _grow(box, x, y):  # pragma: no cover - compiled
    box[0] = min(box[0], x)
    box[1] = min(box[1], y)
    box[2] = max(box[2], x)
    box[3] = max(box[3], y)


@kernel
def _inside(points, first, last, x, y):  # pragma: no cover - compiled
    """Whether (x, y) is inside a part by the even-odd rule."""
    odd = False
    j = last - 1
    for i in range(first, last):
        yi, yj = points[i, 1], points[j, 1]
        if (yi > y) != (yj > y):
            cross = points[i, 0] + (y - yi) / (yj - yi) * (points[j, 0] - points[i, 0])
            if x < cross:
                odd = not odd
        j = i
    return odd


@kernel
def _grow_by_clipped_edges(box, points, first, last, corners):  # pragma: no cover - compiled
    """Extend ``box`` by a part's boundary within the rectangle, and by corners inside the part.

    These are all the points where the clipped region can reach farthest (Liang and Barsky 1984 for the
    edges), without the seams that cutting leaves.
    """
    j = last - 1
    for i in range(first, last):
        x, y = points[j, 0], points[j, 1]
        dx, dy = points[i, 0] - x, points[i, 1] - y
        enter, leave = 0.0, 1.0
        for side in range(4):
            if side == 0:
                p, q = -dx, x - corners[0]
            elif side == 1:
                p, q = dx, corners[2] - x
            elif side == 2:
                p, q = -dy, y - corners[1]
            else:
                p, q = dy, corners[3] - y
            if p == 0:
                if q < 0:
                    leave = -1.0
            elif p < 0:
                enter = max(enter, q / p)
            else:
                leave = min(leave, q / p)
        if enter <= leave:
            _grow(box, x + enter * dx, y + enter * dy)
            _grow(box, x + leave * dx, y + leave * dy)
        j = i
    for cx in (corners[0], corners[2]):
        for cy in (corners[1], corners[3]):
            if _inside(points, first, last, cx, cy):
                _grow(box, cx, cy)


@kernel
def _clip(points, part_start, instance_start, corners):  # pragma: no cover - compiled
    parts, instances = len(part_start) - 1, len(instance_start) - 1
    longest = 0
    for n in range(parts):
        longest = max(longest, part_start[n + 1] - part_start[n])
    first_buffer = np.empty((6 * longest + 16, 2))  # one cut makes at most half as many again
    second_buffer = np.empty((6 * longest + 16, 2))
    out = np.empty((6 * len(points) + 16 * parts, 2))
    out_parts = np.zeros(parts + 1, np.int64)
    out_instances = np.zeros(instances + 1, np.int64)
    boxes = np.zeros((instances, 4))
    touched = np.zeros(instances, np.bool_)
    written, kept = 0, 0
    for g in range(instances):
        box = np.array([np.inf, np.inf, -np.inf, -np.inf])
        for n in range(instance_start[g], instance_start[g + 1]):
            first, last = part_start[n], part_start[n + 1]
            whole = np.array([np.inf, np.inf, -np.inf, -np.inf])
            for i in range(first, last):
                _grow(whole, points[i, 0], points[i, 1])
            outside = (
                whole[0] >= corners[2]
                or whole[1] >= corners[3]
                or whole[2] <= corners[0]
                or whole[3] <= corners[1]
            )
            if outside:
                touched[g] = True
                continue
            inside = (
                whole[0] >= corners[0]
                and whole[1] >= corners[1]
                and whole[2] <= corners[2]
                and whole[3] <= corners[3]
            )
            count = last - first
            if inside:
                out[written : written + count] = points[first:last]
                _grow(box, whole[0], whole[1])
                _grow(box, whole[2], whole[3])
            else:
                touched[g] = True
                count = _cut(points[first:last], count, first_buffer, 0, corners[0], -1.0)
                count = _cut(first_buffer, count, second_buffer, 1, corners[1], -1.0)
                count = _cut(second_buffer, count, first_buffer, 0, corners[2], 1.0)
                count = _cut(first_buffer, count, second_buffer, 1, corners[3], 1.0)
                if count < 3:
                    continue
                out[written : written + count] = second_buffer[:count]
                _grow_by_clipped_edges(box, points, first, last, corners)
            written += count
            kept += 1
            out_parts[kept] = written
        out_instances[g + 1] = kept
        if box[0] < box[2] and box[1] < box[3]:
            boxes[g, 0] = max(box[0], corners[0])
            boxes[g, 1] = max(box[1], corners[1])
            boxes[g, 2] = min(box[2], corners[2])
            boxes[g, 3] = min(box[3], corners[3])
    return out[:written].copy(), out_parts[: kept + 1].copy(), out_instances, boxes, touched


@kernel
def _areas(points, part_start, instance_start):  # pragma: no cover - compiled
    instances = len(instance_start) - 1
    areas = np.zeros(instances)
    for g in range(instances):
        first, last = instance_start[g], instance_start[g + 1]
        if first == last or part_start[first] == part_start[last]:
            continue
        low = points[part_start[first] : part_start[last], 1].min()
        high = points[part_start[first] : part_start[last], 1].max()
        lines = int(np.ceil((high - low) * LINES_PER_PIXEL))
        lines = min(max(lines, FEWEST_LINES), MOST_LINES)
        step = (high - low) / lines
        if step == 0.0:
            continue
        cells, crossings = _crossings(points, part_start[first : last + 1], lines, low, step)
        intervals = np.empty((len(crossings), 2))
        for line in range(lines):
            found = 0
            for part in range(last - first):
                cell = part * lines + line
                for k in range(cells[cell], cells[cell + 1] - 1, 2):
                    intervals[found, 0] = crossings[k]
                    intervals[found, 1] = crossings[k + 1]
                    found += 1
            areas[g] += step * _union_length(intervals[:found])
    return areas


@kernel
def _crossings(points, part_start, lines, low, step):  # pragma: no cover - compiled
    """Sorted x where lines cross parts: of part n and line l from ``cells[n * lines + l]`` on."""
    parts = len(part_start) - 1
    cells = np.zeros(parts * lines + 1, np.int64)
    crossings = np.empty(0)
    for filling in range(2):
        for n in range(parts):
            j = part_start[n + 1] - 1
            for i in range(part_start[n], part_start[n + 1]):
                yi, yj = points[i, 1], points[j, 1]
                first = int(np.ceil((min(yi, yj) - low) / step - 0.5))
                last = int(np.ceil((max(yi, yj) - low) / step - 0.5))
                for line in range(first, last):
                    cell = n * lines + line
                    if not filling:
                        cells[cell + 1] += 1
                        continue
                    share = (low + (line + 0.5) * step - yi) / (yj - yi)
                    crossings[cells[cell]] = points[i, 0] + share * (points[j, 0] - points[i, 0])
                    cells[cell] += 1
                j = i
        if not filling:
            cells = np.cumsum(cells)
            crossings = np.empty(cells[-1])
    cells[1:] = cells[:-1].copy()  # filling moved every start to its end
    cells[0] = 0
    for cell in range(len(cells) - 1):
        if cells[cell + 1] - cells[cell] == 2:
            if crossings[cells[cell]] > crossings[cells[cell] + 1]:
                here = crossings[cells[cell]]
                crossings[cells[cell]] = crossings[cells[cell] + 1]
                crossings[cells[cell] + 1] = here
        else:
            crossings[cells[cell] : cells[cell + 1]].sort()
    return cells, crossings


@kernel
def _union_length(intervals):  # pragma: no cover - compiled
    """Length of the union of intervals (N, 2)."""
    if len(intervals) == 0:
        return 0.0
    if len(intervals) == 1:
        return intervals[0, 1] - intervals[0, 0]
    order = np.argsort(intervals[:, 0])
    length, reached = 0.0, -np.inf
    for k in order:
        start, end = max(intervals[k, 0], reached), intervals[k, 1]
        if end > start:
            length += end - start
            reached = end
    return length
