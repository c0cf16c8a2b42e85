"""Slow twin of deformable RoI pooling (arXiv 1703.06211), one sample at a time, plain loops over floats."""

import math

Map = list[list[float]]  # one channel, rows of cells


def bilinear(cells: Map, y: float, x: float) -> float:
    height, width = len(cells), len(cells[0])
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = cells[top][left] * (1 - dx) + cells[top][right] * dx
    lower = cells[bottom][left] * (1 - dx) + cells[bottom][right] * dx
    return upper * (1 - dy) + lower * dy


def pool(
    cells: Map, box: list[float], stride: int, offsets: list[Map], size: int, samples: int
) -> Map:
    """P x P bins of one channel; offsets are x then y, P x P each."""
    left, top, right, bottom = (side / stride - 0.5 for side in box)
    width, height = right - left, bottom - top
    result = []
    for row in range(size):
        line = []
        for column in range(size):
            total = 0.0
            for i in range(samples):
                for j in range(samples):
                    y = top + (row + (i + 0.5) / samples) * height / size
                    x = left + (column + (j + 0.5) / samples) * width / size
                    y += 0.1 * height * offsets[1][row][column]
                    x += 0.1 * width * offsets[0][row][column]
                    total += bilinear(cells, y, x)
            line.append(total / samples**2)
        result.append(line)
    return result
