"""Slow twins of the polygon geometry, the repeat factors and the sizes; plain loops, no lvistk."""

import math
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask


def inside(part: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points are inside a part (V, 2) by the even-odd rule."""
    odd = np.zeros(x.shape, bool)
    for (xa, ya), (xb, yb) in zip(part, np.roll(part, -1, axis=0), strict=True):
        between = (ya > y) != (yb > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = xa + (y - ya) / (yb - ya) * (xb - xa)
        odd ^= between & (x < crossing)
    return odd


def sampled_mask(
    parts: Sequence[np.ndarray],
    matrix: np.ndarray,
    rectangle: tuple[int, int, int, int],
    fine: int = 4,
) -> np.ndarray:
    """The union of parts under a matrix within a rectangle, as ``fine`` x ``fine`` samples per pixel.

    Every sample of the canvas is mapped back to the image: the warped and cropped bitmap.
    """
    x0, y0, x1, y1 = rectangle
    xs = x0 + (np.arange((x1 - x0) * fine) + 0.5) / fine
    ys = y0 + (np.arange((y1 - y0) * fine) + 0.5) / fine
    canvas = np.stack([*np.meshgrid(xs, ys), np.ones((len(ys), len(xs)))])
    image = np.einsum("ij,jyx->iyx", np.linalg.inv(matrix), canvas)
    covered = np.zeros((len(ys), len(xs)), bool)
    for part in parts:
        covered |= inside(part, image[0], image[1])
    return covered


def perimeter(parts: Sequence[np.ndarray]) -> float:
    return sum(
        math.dist(a, b)
        for part in parts
        for a, b in zip(part, np.roll(part, -1, axis=0), strict=True)
    )


def polygon_in_roi(parts: Sequence[np.ndarray], box: np.ndarray, side: int) -> np.ndarray:
    """The mask target of an RoI (float32 xyxy) by detectron2's rule, drawn by pycocotools."""
    width, height = box[2] - box[0], box[3] - box[1]
    moved = []
    for part in parts:
        part = np.array(part, np.float64)
        part[:, 0] = (part[:, 0] - box[0]) * (side / max(width, np.float32(0.1)))
        part[:, 1] = (part[:, 1] - box[1]) * (side / max(height, np.float32(0.1)))
        moved.append(part.reshape(-1))
    if not moved:
        return np.zeros((side, side), np.uint8)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(moved, side, side)))


def bitmap_in_roi(bitmap: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """Mean of the linearly interpolated bitmap (H, W) in each cell, at one point per pixel (RoIAlign).

    Up to a pixel beyond the border the last pixels are repeated; farther out is zero.
    """
    height, width = bitmap.shape
    x0, y0, x1, y1 = (float(v) for v in box)
    cell_x, cell_y = (x1 - x0) / side, (y1 - y0) / side
    count_x, count_y = max(1, math.ceil(cell_x)), max(1, math.ceil(cell_y))
    mean = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            for j in range(count_y):
                for i in range(count_x):
                    x = x0 + (column + (i + 0.5) / count_x) * cell_x - 0.5
                    y = y0 + (row + (j + 0.5) / count_y) * cell_y - 0.5
                    if x < -1 or y < -1 or x > width or y > height:
                        continue
                    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
                    for yy in (math.floor(y), math.floor(y) + 1):
                        for xx in (math.floor(x), math.floor(x) + 1):
                            if 0 <= xx < width and 0 <= yy < height:
                                weight = (1 - abs(x - xx)) * (1 - abs(y - yy))
                                mean[row, column] += weight * bitmap[yy, xx]
            mean[row, column] /= count_x * count_y
    return mean


def repeat_factors(images: Sequence[Sequence[int]], threshold: float) -> list[float]:
    """Of each image, given as the labels of its annotations (LVIS paper, appendix B.2)."""
    having: dict[int, int] = {}
    for labels in images:
        for label in set(labels):
            having[label] = having.get(label, 0) + 1
    factors = {
        label: max(1.0, math.sqrt(threshold / (count / len(images))))
        for label, count in having.items()
    }
    return [max((factors[label] for label in labels), default=1.0) for labels in images]
