"""Polygon areas and boxes with plain loops."""


def shoelace(points):
    total = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        total += x0 * y1 - x1 * y0
    return total / 2


def tight_box(parts):
    xs = [x for part in parts for x, _ in part]
    ys = [y for part in parts for _, y in part]
    return [min(xs), min(ys), max(xs), max(ys)] if xs else [0, 0, 0, 0]
