"""Which categories an image shows, and which of their instances go without annotation.

Image i is planned from (seed, split, i) alone, whatever the number of images, and yet the groups
come out as in LVIS. Each category has a law n(t): the number of its images among the first t. Its
j-th image is the one in which n reaches j + u, u a hash of (seed, split, category, j). Frequent
categories have a rate (n = p t, Zipf-like p). Common and rare ones grow with the logarithm,
n = a log(1 + t / tau), up to a cap of 95 and 9 images: so there are rare categories at 600
images as at 100,000. The laws count images with annotations; instances to be left out come on top.

Val images and the pool use nearly equal rates instead, so that rare categories can be measured on
few images, and occur in a small pool as they do in the 1.7 M images of Open Images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lvistk.data.synthetic.settings import GenerateSettings

Split = Literal["train", "val", "pool"]
SPLITS: tuple[Split, ...] = ("train", "val", "pool")
Reason = Literal["", "category", "not_exhaustive", "missed"]

IMAGES_CAP = (np.inf, 95.0, 9.0)  # frequent, common, rare
HEAD_CATEGORIES_PER_IMAGE = 2.6  # annotated frequent categories per image
FLAT_CATEGORIES_PER_IMAGE = 3.2  # the same over all categories in val and the pool
INSTANCES = np.array([0.5, 0.27, 0.15, 0.08])  # 1, 2, 3, 4 of a category in an image
REASONS: tuple[Reason, ...] = ("category", "not_exhaustive", "missed")
REASON_SHARES = {"train": (0.6, 0.25, 0.15), "val": (0.75, 0.25, 0.0)}
SHARE_MARGIN = 1.15  # aimed at more, since the share is a lower bound


@dataclass(frozen=True)
class Wanted:
    """An instance to be drawn: the rank of its category, and why it isn't annotated ('' if it is).

    Reasons: 'category': the image was not checked for this category; 'not_exhaustive': the
    category is annotated but marked as incomplete; 'missed': an annotator's oversight.
    """

    rank: int
    reason: Reason


def _hash01(*keys: int | np.ndarray) -> np.ndarray:
    """A uniform number in [0, 1) for each row of integer keys (splitmix64 finaliser)."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(key) for key in keys)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = state + np.asarray(key).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) / 2.0**53


class Popularity:
    """The law of every category in one split: see the module's text."""

    def __init__(self, settings: GenerateSettings, split: Split) -> None:
        self._seed, self._split = settings.seed, SPLITS.index(split)
        count = settings.categories
        rare = round(settings.rare_share * count)
        common = min(round(settings.common_share * count), count - rare)
        head = count - rare - common
        self.group = np.repeat([0, 1, 2], [head, common, rare])  # (C,)
        self.slope = np.empty(count)
        if split == "train":
            zipf = (np.arange(head) + 2.0) ** -0.7
            rate = settings.crowding * HEAD_CATEGORIES_PER_IMAGE / zipf.sum() if head else 0.0
            self.slope[:head] = np.minimum(zipf * rate, 0.6)
            self.slope[head : head + common] = np.geomspace(30.0, 11.0, common)
            self.slope[head + common :] = np.geomspace(4.2, 1.2, rare)
        else:
            self.group = np.zeros(count, dtype=int)
            flat = np.linspace(1.6, 0.8, count)
            per_image = settings.crowding * FLAT_CATEGORIES_PER_IMAGE
            self.slope[:] = np.minimum(flat * per_image / flat.sum(), 0.6)
        # at the first images, one annotated category an image comes from the common and rare ones
        self.tau = max(self.slope[self.group > 0].sum(), 1.0)

    def _reached(self, time: float) -> np.ndarray:
        """n(t) of every category without its cap, (C,)."""
        grown = self.slope * np.log1p(time / self.tau)
        return np.where(self.group == 0, self.slope * time, grown)

    def _time(self, images: np.ndarray) -> np.ndarray:
        """The inverse of n, (C,)."""
        with np.errstate(over="ignore"):
            late = self.tau * np.expm1(images / self.slope)
        return np.where(self.group == 0, images / self.slope, late)

    def present(self, index: int) -> np.ndarray:
        """Ranks of the annotated categories of image `index` (from 0), ascending."""
        ranks = np.arange(len(self.slope))
        first, last = np.floor(self._reached(index)), np.floor(self._reached(index + 1))
        is_member = np.zeros(len(ranks), dtype=bool)
        for image in (first, last):
            at = image + _hash01(self._seed, self._split, ranks, image.astype(np.int64))
            time = np.nan_to_num(np.floor(self._time(at)), posinf=2.0**62)
            cap = np.asarray(IMAGES_CAP)[self.group]
            is_member |= (time == index) & (image < cap)
        return np.flatnonzero(is_member)

    def density(self, index: int) -> np.ndarray:
        """How often each category is annotated around image `index`: images per image, (C,)."""
        falling = self.slope / (self.tau + index)
        return np.where(self.group == 0, self.slope, falling)


def plan_image(
    popularity: Popularity, index: int, *, split: Split, share: float, rng: np.random.Generator
) -> list[Wanted]:
    """The instances image `index` of a split shall show, the annotated ones first.

    `share` is the part of all instances that is left without annotation; the pool, which has no
    annotations, has none of them. An image without any category gives an empty list.
    """
    present = popularity.present(index)
    wanted = [
        Wanted(int(rank), "")
        for rank in present
        for _ in range(1 + int(rng.choice(len(INSTANCES), p=INSTANCES)))
    ]
    if split == "pool" or share == 0:
        return wanted
    aim = min(share * SHARE_MARGIN, 0.9)
    hidden = int(len(wanted) * aim / (1 - aim) + rng.random())
    absent = popularity.density(index)
    absent[present] = 0.0
    for _ in range(hidden):
        reason = REASONS[int(rng.choice(len(REASONS), p=REASON_SHARES[split]))]
        if reason != "category" and len(present):
            wanted.append(Wanted(int(rng.choice(present)), reason))
        elif absent.sum() > 0:
            wanted.append(Wanted(int(rng.choice(len(absent), p=absent / absent.sum())), "category"))
    return wanted
