"""Slow twin of mask pasting: every pixel of the whole image is asked for its value."""

import math


def value_at(mask, column, row):
    """Bilinear value at cell coordinates, zero beyond the mask."""
    cells = len(mask)
    x0, y0 = math.floor(column), math.floor(row)
    total = 0.0
    for y, wy in ((y0, 1 - (row - y0)), (y0 + 1, row - y0)):
        for x, wx in ((x0, 1 - (column - x0)), (x0 + 1, column - x0)):
            if 0 <= x < cells and 0 <= y < cells:
                total += mask[y][x] * wx * wy
    return total


def paste(mask, box, *, height, width, threshold):
    """Rows of 0 and 1 of the whole image."""
    x0, y0, x1, y1 = (float(v) for v in box)
    cells = len(mask)
    rows = []
    for y in range(height):
        row = []
        for x in range(width):
            inside = 0
            if x1 > x0 and y1 > y0:
                column = (x + 0.5 - x0) / (x1 - x0) * cells - 0.5
                line = (y + 0.5 - y0) / (y1 - y0) * cells - 0.5
                inside = int(value_at(mask, column, line) >= threshold)
            row.append(inside)
        rows.append(row)
    return rows
