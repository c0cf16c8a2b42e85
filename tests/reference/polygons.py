"""Polygons with plain loops: read from JSON text, their areas and boxes."""


def shoelace(points):
    total = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        total += x0 * y1 - x1 * y0
    return total / 2


def tight_box(parts):
    xs = [x for part in parts for x, _ in part]
    ys = [y for part in parts for _, y in part]
    return [min(xs), min(ys), max(xs), max(ys)] if xs else [0, 0, 0, 0]


def read(text):
    """Parts of the text of one instance, one character at a time; white space and commas only separate."""
    parts, depth, number = [], 0, ""
    for sign in text:
        if sign in "[], \n" and number:
            parts[-1].append(float(number))
            number = ""
        if sign == "[":
            depth += 1
            if depth == 2:
                parts.append([])
        elif sign == "]":
            depth -= 1
        elif sign not in ", \n":
            number += sign
    assert depth == 0
    return parts
