"""Slow twins of the mask, boundary, mask IoU and box losses: one RoI, plain loops over floats."""

import math

Grid = list[list[float]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def pixels(logits: Grid, targets: Grid) -> list[tuple[float, float]]:
    return [
        (sigmoid(x), y)
        for logit_row, target_row in zip(logits, targets, strict=True)
        for x, y in zip(logit_row, target_row, strict=True)
    ]


def cross_entropy(p: float, y: float) -> float:
    return -(y * math.log(p) + (1 - y) * math.log(1 - p))


def mask_bce(logits: Grid, targets: Grid) -> float:
    values = [cross_entropy(p, y) for p, y in pixels(logits, targets)]
    return sum(values) / len(values)


def balanced_mask(logits: Grid, targets: Grid, max_weight: float) -> float:
    """Eq. 2 to 5, with minus a mean over pixels in Eq. 4."""
    items = pixels(logits, targets)
    area = sum(1 for _, y in items if y >= 0.5)
    total = numerator = denominator = 0.0
    for p, y in items:
        weight = min(max(1.0, 0.5 * len(items) / max(area, 1)), max_weight) if y >= 0.5 else 1.0
        total += weight * cross_entropy(p, y)
        numerator += 2 * p * y
        denominator += p * p + y * y
    return 1 - (numerator + 1) / (denominator + 1) + total / len(items)


def boundary_target(mask: Grid) -> Grid:
    """The Laplacian of the paper: 8 in the middle, -1 around, zeros outside; positive is boundary."""
    size = len(mask)
    result = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(size):
            value = 8 * mask[i][j]
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if (di or dj) and 0 <= i + di < size and 0 <= j + dj < size:
                        value -= mask[i + di][j + dj]
            result[i][j] = 1.0 if value > 0.1 else 0.0
    return result


def boundary_loss(logits: Grid, targets: Grid) -> float:
    items = pixels(logits, targets)
    bce = sum(cross_entropy(p, y) for p, y in items) / len(items)
    overlap = sum(p * y for p, y in items)
    total = sum(p for p, _ in items) + sum(y for _, y in items)
    return bce + 1 - (2 * overlap + 1) / (total + 1)


def mask_iou_target(logits: Grid, targets: Grid, whole_area: float) -> float:
    items = pixels(logits, targets)
    predicted = sum(1 for p, _ in items if p >= 0.5)
    inside = sum(1 for _, y in items if y >= 0.5)
    overlap = sum(1 for p, y in items if p >= 0.5 and y >= 0.5)
    union = predicted + max(whole_area, inside) - overlap
    return overlap / union if union else 0.0


def smooth_l1(deltas: list[float], targets: list[float], beta: float) -> float:
    total = 0.0
    for x, y in zip(deltas, targets, strict=True):
        d = abs(x - y)
        total += 0.5 * d * d / beta if d < beta else d - 0.5 * beta
    return total
