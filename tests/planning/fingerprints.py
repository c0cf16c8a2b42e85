"""Fingerprints of made-up data sets of all kinds."""

import numpy as np

from lvistk.planning.fingerprint import Fingerprint
from lvistk.planning.machine import Machine

CPU = Machine("cpu", "CPU", 2, 8.0, 8.0)
GPU = Machine("cuda", "a GPU", 16, 128.0, 80.0)


def fingerprint(
    *,
    images: int = 300,
    categories: int = 20,
    side: int = 640,
    object_side: float = 0.2,
    per_image: int = 6,
    tail: float = 1.0,
    exhaustive: float = 1.0,
    aspect: float = 4 / 3,
    seed: int = 0,
) -> Fingerprint:
    """Images of one size with ``per_image`` objects each.

    side: longer side, pixels. object_side: median side of an object over the image's shorter side.
    tail: exponent of the categories' Zipf law; 0 makes all as frequent. aspect: longer over shorter side.
    """
    rng = np.random.default_rng(seed)
    count = images * per_image
    chance = 1.0 / np.arange(1, categories + 1) ** tail
    labels = rng.choice(categories, count, p=chance / chance.sum())
    labels[: min(categories, count)] = np.arange(min(categories, count))
    short = side / aspect
    sides = np.clip(short * object_side * rng.lognormal(0, 0.6, count), 1.0, short)
    ratios = rng.lognormal(0, 0.35, count)
    boxes = np.stack([sides * np.sqrt(ratios), sides / np.sqrt(ratios)], axis=1)
    return Fingerprint(
        heights=np.full(images, round(short)),
        widths=np.full(images, side),
        row=np.arange(images + 1, dtype=np.int64) * per_image,
        labels=rng.permutation(labels),
        box_sides=boxes,
        box_image=np.repeat(np.arange(images), per_image),
        area_ratios=rng.beta(4, 2, count),
        categories=categories,
        exhaustive=exhaustive,
    )
