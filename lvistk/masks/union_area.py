"""Areas of instances as the union of their parts: exact along scanlines, sampled across them.

A part is even-odd (as COCO rasterises it); parts that overlap count once.
"""

import numpy as np

from lvistk.jit import kernel
from lvistk.masks.polygons import Polygons

LINES_PER_PIXEL = 2.0
FEWEST_LINES, MOST_LINES = 64, 2048
"""Scanlines of an instance: so many per pixel of its height, within these limits."""


def union_areas(polygons: Polygons) -> np.ndarray:
    """Areas (G,) float64 of the unions of parts, in square pixels."""
    points = np.ascontiguousarray(polygons.points, dtype=np.float64)
    return _areas(points, polygons.part_start, polygons.instance_start)


@kernel
def _areas(points, part_start, instance_start):
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
            count = 0
            for part in range(last - first):
                cell = part * lines + line
                for k in range(cells[cell], cells[cell + 1] - 1, 2):
                    intervals[count, 0] = crossings[k]
                    intervals[count, 1] = crossings[k + 1]
                    count += 1
            areas[g] += step * _union_length(intervals[:count])
    return areas


@kernel
def _crossings(points, part_start, lines, low, step):
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
def _union_length(intervals):
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
