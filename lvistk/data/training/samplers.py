"""What an epoch consists of: repeat factors, pseudo-labelled images, order, groups, parts of ranks.

Everything is a function of (seed, epoch) and numbers: no state, so an epoch can be resumed at any
sample, and all ranks and workers agree without talking.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lvistk.config.train import SamplerSettings

ORDER, ROUNDING, PSEUDO, SLOTS = 1, 2, 3, 4
"""Streams of random numbers, so that one choice doesn't move another."""


def stream(*numbers: int) -> np.random.Generator:
    """The generator of a choice, from (seed, epoch, ...): numbers of 0 or more."""
    return np.random.default_rng(np.random.SeedSequence(numbers))


@dataclass(frozen=True, eq=False)
class RepeatFactors:
    """How often each image comes, on average, in an epoch (LVIS paper, appendix B.2).

    ``images (I,)`` and ``categories (C,)`` float64, 1 or more; ``threshold`` the share of images below
    which a category is repeated, 0 when nothing is; ``touched`` how many categories of the data that
    is, of ``present``.
    """

    images: np.ndarray
    categories: np.ndarray
    threshold: float
    touched: int
    present: int

    def report(self) -> str:
        """One line for the user."""
        if not self.threshold:
            return "repeat factors: off, every image comes once an epoch"
        growth = self.images.mean() if len(self.images) else 1.0
        return (
            f"repeat factors: {self.touched} of {self.present} categories are in fewer than "
            f"{self.threshold * len(self.images):g} of {len(self.images)} images; an image comes "
            f"{growth:.2f} times per epoch on average, at most {self.images.max(initial=1.0):.1f}"
        )

    def warning(self) -> str | None:
        """What the user should know when the threshold touches no category, or every one."""
        if self.threshold and self.present and self.touched in (0, self.present):
            which = "no category" if not self.touched else "every category"
            return (
                f"repeat factor sampling touches {which}: choose sampler.repeat_images near the "
                "images of a category that you call rare, or sampler.repeat = 'none'"
            )
        return None


def repeat_factors(
    row: np.ndarray, labels: np.ndarray, *, categories: int, settings: SamplerSettings
) -> RepeatFactors:
    """Repeat factors of I images with annotations ``labels[row[i]:row[i + 1]]``.

    r(c) = max(1, sqrt(t / f(c))) with f(c) the share of images that have c; an image's is the largest of
    its categories, 1 without any. t is ``repeat_fraction`` or ``repeat_images`` / I. Settings ``ceil``
    rounds images up, as mmdetection does; ``none`` repeats nothing.
    """
    images = len(row) - 1
    threshold = (
        settings.repeat_images / max(images, 1)
        if settings.repeat_fraction is None
        else settings.repeat_fraction
    )
    owner = np.repeat(np.arange(images, dtype=np.int64), np.diff(row))
    pairs = np.unique(owner * categories + labels)
    pair_image, pair_label = pairs // max(categories, 1), pairs % max(categories, 1)
    share = np.bincount(pair_label, minlength=categories) / max(images, 1)
    factors = np.ones(categories)
    present = share > 0
    if settings.repeat == "none":
        threshold = 0.0
    else:
        factors[present] = np.maximum(1.0, np.sqrt(threshold / share[present]))
    by_image = np.ones(images)
    np.maximum.at(by_image, pair_image, factors[pair_label])
    if settings.repeat == "ceil":
        by_image = np.ceil(by_image)
    return RepeatFactors(
        images=by_image,
        categories=factors,
        threshold=threshold,
        touched=int((factors > 1).sum()),
        present=int(present.sum()),
    )


class SampleKey(NamedTuple):
    """Sample ``k`` of an epoch: row ``row`` of source ``source`` (0 annotated, 1 pseudo-labelled)."""

    epoch: int
    k: int
    source: int
    row: int


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """The samples of an epoch in order: ``sources (N,)`` int8 and ``rows (N,)`` int64."""

    epoch: int
    sources: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def empty(cls) -> "EpochPlan":
        """The plan of no epoch (-1)."""
        return cls(-1, np.zeros(0, np.int8), np.zeros(0, np.int64))

    def key(self, k: int) -> SampleKey:
        return SampleKey(self.epoch, k, int(self.sources[k]), int(self.rows[k]))


def repeated_rows(factors: RepeatFactors, *, seed: int, epoch: int) -> np.ndarray:
    """Rows of the annotated images of an epoch, shuffled: each as often as its factor says.

    The part of a factor after the point is drawn anew each epoch (detectron2's stochastic rounding).
    """
    whole = np.floor(factors.images)
    chance = stream(seed, epoch, ROUNDING).random(len(whole))
    times = (whole + (chance < factors.images - whole)).astype(np.int64)
    rows = np.repeat(np.arange(len(times), dtype=np.int64), times)
    return stream(seed, epoch, ORDER).permutation(rows)


def subsample(total: int, wanted: int, *, seed: int, epoch: int) -> np.ndarray:
    """Rows (min(wanted, total),) of an epoch's part of a large source, another part every epoch.

    Epochs walk through shuffled passes over the source: every row comes once before any comes again.
    """
    wanted = min(wanted, total)
    if not wanted:
        return np.zeros(0, np.int64)
    steps = epoch * wanted + np.arange(wanted)
    rows = np.empty(wanted, np.int64)
    for turn in np.unique(steps // total):
        here = steps // total == turn
        order = stream(seed, int(turn), PSEUDO).permutation(total)
        rows[here] = order[steps[here] % total]
    return rows


def mix(rows: np.ndarray, others: np.ndarray, *, seed: int, epoch: int) -> EpochPlan:
    """Both sources in one order, ``others`` spread evenly: one in every stretch of equal length."""
    total = len(rows) + len(others)
    sources = np.zeros(total, np.int8)
    if len(others):
        edges = np.arange(len(others) + 1) * total // len(others)
        chance = stream(seed, epoch, SLOTS).random(len(others))
        sources[edges[:-1] + (chance * np.diff(edges)).astype(np.int64)] = 1
    mixed = np.empty(total, np.int64)
    mixed[sources == 0], mixed[sources == 1] = rows, others
    return EpochPlan(epoch, sources, mixed)


def group_by_aspect(plan: EpochPlan, wide: np.ndarray, *, batch: int) -> EpochPlan:
    """The plan reordered so that batches of ``batch`` hold only wide images, or only others.

    ``wide (N,)`` bool. Images queue by shape in plan order, and a batch is due when its queue is full;
    what is left at the end makes the last, mixed batches.
    """
    number = np.empty(len(plan), np.int64)
    leftover = np.zeros(len(plan), bool)
    for shape in (False, True):
        members = np.flatnonzero(wide == shape)
        full = len(members) // batch * batch
        number[members[:full]] = members[:full].reshape(-1, batch)[:, -1].repeat(batch)
        leftover[members[full:]] = True
    number[leftover] = len(plan)
    order = np.argsort(number, kind="stable")
    return EpochPlan(plan.epoch, plan.sources[order], plan.rows[order])


def fill_up(plan: EpochPlan, *, batch: int) -> EpochPlan:
    """The plan with its first samples again at the end, so that every batch is full.

    Every rank then has an image at every step; the repeated images are augmented differently.
    """
    missing = -len(plan) % batch
    again = np.arange(missing) % max(len(plan), 1)
    return EpochPlan(
        plan.epoch,
        np.concatenate([plan.sources, plan.sources[again]]) if len(plan) else plan.sources,
        np.concatenate([plan.rows, plan.rows[again]]) if len(plan) else plan.rows,
    )


def rank_batch(
    plan: EpochPlan, number: int, *, batch_size_per_rank: int, rank: int, world_size: int
) -> list[SampleKey]:
    """The keys of a rank's part of global batch ``number``: a contiguous stretch."""
    first = (number * world_size + rank) * batch_size_per_rank
    return [plan.key(k) for k in range(first, first + batch_size_per_rank)]
