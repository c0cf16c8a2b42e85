"""Polygons clipped exactly to a rectangle, with tight boxes.

Coordinates are continuous: pixel i covers [i, i + 1). A part is even-odd (as COCO rasterises it); an
instance is the union of its parts.
"""

from dataclasses import dataclass

import numpy as np

from lvistk.jit import kernel
from lvistk.masks.polygons import Polygons

Rectangle = tuple[float, float, float, float]


@dataclass(eq=False)
class Clipped:
    """Polygons of G instances within a rectangle.

    boxes: (G, 4) float64 xyxy, tight; zeros where nothing is left
    touched: (G,) bool, where the rectangle took something away
    """

    polygons: Polygons
    boxes: np.ndarray
    touched: np.ndarray


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


@kernel
def _cut(source, count, target, axis, limit, sign):
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
def _grow(box, x, y):
    box[0] = min(box[0], x)
    box[1] = min(box[1], y)
    box[2] = max(box[2], x)
    box[3] = max(box[3], y)


@kernel
def _inside(points, first, last, x, y):
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
def _grow_by_clipped_edges(box, points, first, last, corners):
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
def _clip(points, part_start, instance_start, corners):
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
