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


def runs(text):
    """Run lengths of a compressed RLE, one character at a time (COCO's rleFrString)."""
    found, place = [], 0
    while place < len(text):
        value, digit, more = 0, 0, True
        while more:
            code = ord(text[place]) - 48
            value |= (code & 31) << (5 * digit)
            more = bool(code & 32)
            place += 1
            digit += 1
            if not more and code & 16:
                value -= 1 << (5 * digit)
        if len(found) > 2:
            value += found[-2]
        found.append(value)
    return found
