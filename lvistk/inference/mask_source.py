"""Which view a detection's mask comes from (paper 3.3: chosen by box scale and area ratio).

The paper gives no rule. Ours: a thin mask needs pixels, so the smaller the share of its box that the mask
fills, the larger the box should be in the view.
"""

from collections.abc import Sequence

import numpy as np

RATIO_EDGES = (0.5, 0.25)
"""Area ratios that part the wanted sides (Eq. 1 parts its levels there too)."""


def wanted_sides(area_ratio: np.ndarray, sides: tuple[float, float, float]) -> np.ndarray:
    """Wanted box side (N,) in view pixels for mask area over box area (N,)."""
    solid, middle, thin = sides
    return np.where(
        area_ratio >= RATIO_EDGES[0], solid, np.where(area_ratio >= RATIO_EDGES[1], middle, thin)
    )


def choose_views(
    boxes: np.ndarray,
    area_ratio: np.ndarray,
    *,
    found: np.ndarray,
    scales: Sequence[float],
    flips: Sequence[bool],
    sides: tuple[float, float, float],
) -> np.ndarray:
    """View (N,) int32 in which each box's side is nearest, in log2, to the wanted one.

    ``boxes`` (N, 4) in photo pixels; ``found`` (N,) the view that found each; ``scales`` and ``flips``
    of the V views. The finding view wins among equally near ones, then a view flipped like it, then
    the first.
    """
    if not len(boxes):
        return np.zeros(0, np.int32)
    extent = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    side = np.sqrt(np.maximum(extent.prod(1), 1e-12))  # (N,)
    seen = side[:, None] * np.asarray(scales, np.float64)  # (N, V)
    distance = np.abs(np.log2(seen / wanted_sides(area_ratio, sides)[:, None]))
    numbers = np.arange(len(scales))
    flips_array = np.asarray(flips, bool)
    distance += 1e-9 * (numbers != found[:, None])
    distance += 1e-9 * (flips_array[None] != flips_array[found][:, None])
    return distance.argmin(1).astype(np.int32)
