"""Slow twin of Eq. 1 of arXiv 2009.01559, one box at a time."""

import math


def level(box: list[float], ratio: float, rule: str, canonical: float) -> int:
    area = max(box[2] - box[0], 0) * max(box[3] - box[1], 0)
    usual = math.floor(math.log2(math.sqrt(area) / canonical)) if area else 0
    second = math.floor(ratio * 4)
    if rule == "scale":
        value = usual
    elif rule == "fpn":
        value = min(usual, second)
    else:
        value = min(math.floor(area / canonical**2), second)
    return max(0, min(value, 3))
