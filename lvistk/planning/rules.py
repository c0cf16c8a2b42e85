"""The rules of planning: one function per decision, each with its source or measurement.

Lengths in pixels of the network's input unless said otherwise. Each function is pure: numbers of the
fingerprint in, a value and the reason out, which becomes a comment of the planned file.
"""

from typing import NamedTuple

import numpy as np

from lvistk.config.train import SamplerSettings
from lvistk.data.training.samplers import repeat_factors
from lvistk.planning.fingerprint import Fingerprint
from lvistk.planning.machine import Machine

WANTED_SIDE = 32.0
"""Side that a quarter of the objects may stay below: the smallest of the paper's anchors, 8 cells of P2."""
SIZES = (96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640, 704, 768, 800)
"""Shorter sides that are tried; 800 is the paper's, and detectron2's for COCO and LVIS."""
LARGEST_UPSCALING = 2.0
"""Images are enlarged by at most so much: a pixel tells no more for being drawn as four."""
LARGEST_ASPECT = 1333 / 800
"""Longer over shorter side of the paper's largest input; longer images get a smaller scale."""
ANCHOR_STEPS = (8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48)
"""Smallest anchors that are tried: from two cells of P2 on."""
FINEST_STRIDE = 4.0
"""Pixels between anchors of P2."""
ANCHORS_AS_GOOD = 0.01
"""Anchors that reach so much less of the boxes are still tried (ours)."""
SMALL_SIDE, SMALL_SHARE = 16.0, 0.25
"""If so large a share of the objects has a side below four cells of P2, crops are worth it (ours)."""
LARGEST_IN_CROP = 0.75
"""Share of a crop's side that 95 of 100 objects may have (ours)."""
LEAST_ENLARGED, MOST_ENLARGED = 1.5, 4.0
"""How much larger than whole images crops show their objects: less is not worth what is cut off, more makes
inference on whole images slow (ours)."""
RATIOS = ((0.5, 1.0, 2.0), (1 / 3, 0.5, 1.0, 2.0, 3.0))
"""Aspect ratios of anchors: the usual three, or five for data with many long boxes."""
MORE_RATIOS_FROM = 0.03
"""Five ratios must reach so many more of the boxes, since they cost two thirds more anchors."""
MOST_REPEATS = 2.0
"""Repeat factor sampling may make an epoch so much longer (LVIS v1 at t = .001: 1.3)."""
PAPER_TAIL_IMAGES = 100.0
"""Images below which LVIS calls a category rare or common, and repeats it (t = .001 of 100,000 images)."""
SPARED_SHARE = 0.06
"""Of all instances, those of the categories that the equalization loss spares: LVIS v1's .0011 spares 6.2%
(815 of 1203 categories). Where a spared category looks like a more frequent one, nothing teaches it to be
told apart: docs/ladder.md has the measurement."""
PAPER_SPARED_IMAGES = 109.0
"""The equalization loss's own limit for LVIS v1, in images."""
BALANCED = 4.0
"""A category of the upper tenth over one of the lower tenth, in images: below it nothing is long-tailed."""
PAPER_EDGES = (10, 100, 1000)
"""Group edges in instances (arXiv 2006.10408)."""
CPU_BATCH, GPU_BATCH = 4, 16
"""Images per step. On a CPU a step costs what its images do, and where few fit into the time twice the steps
of half the images teach more: docs/init.md has the measurement. 16 is the paper's."""
COUNTED_BATCH = 8.0
"""Images of a step in the counts that follow; smaller batches take more steps, so that as many images are
seen."""
LEAST_STEPS = {"detector": 150, "backbone": 500, "nothing": 1000}
"""Steps below which a schedule teaches little, by what the weights come from. On the demo (trained backbone,
batches of 8) 320 steps gave 12.7 AP and 1,488 more gave 4.7 AP; a random start needs several times the steps
of a pretrained backbone (arXiv 1811.08883, figure 1)."""
WANTED_STEPS = {"detector": 1000, "backbone": 3000, "nothing": 9000}
"""Steps that a small data set gets if time allows; beyond them a few hundred images are learnt by heart."""
WANTED_EPOCHS = {"detector": 6, "backbone": 24, "nothing": 72}
"""Epochs that a large data set gets: the paper's 24 from ImageNet weights (2x), 72 without (6x, arXiv
1811.08883)."""


STARTS = {
    "detector": "a detector",
    "backbone": "a trained backbone",
    "nothing": "random weights",
}


class Reasoned(NamedTuple):
    """A value of the plan, and why."""

    value: float
    reason: str


class Anchors(NamedTuple):
    """Anchors of the five levels, their ratios, the share of boxes that they reach, and why."""

    sizes: tuple[float, ...]
    ratios: tuple[float, ...]
    reached: float
    reason: str


class Crop(NamedTuple):
    """Training on crops: side of a crop, shorter side of the image that it is cut from, and why."""

    side: int
    size: int
    reason: str


class Tail(NamedTuple):
    """What is done about the long tail.

    is_long: whether there is one. images: categories of fewer images are tail. growth: an epoch's length with
    repeat factors over that without.
    """

    is_long: bool
    images: float
    growth: float
    reason: str


def wanted_size(fp: Fingerprint) -> Reasoned:
    """Shorter side of the images that the objects want, before time and memory are asked."""
    small = float(np.quantile(fp.relative_sides, 0.25))
    wanted = WANTED_SIDE / max(small, 1e-6)
    own = float(np.median(fp.short_edges))
    most = min(SIZES[-1], max(LARGEST_UPSCALING * own, SIZES[0]))
    size = next((s for s in SIZES if s >= min(wanted, most)), SIZES[-1])
    size = size if size <= most else max(s for s in SIZES if s <= most)
    why = (
        f"a quarter of the objects is smaller than {small:.0%} of the shorter side, {small * size:.0f} px "
        f"at {size:.0f}"
    )
    if wanted > most:
        limit = "the largest size that is planned" if most == SIZES[-1] else "twice the images' own"
        why += f"; {WANTED_SIDE:.0f} px would need {wanted:.0f}, beyond {limit}"
    return Reasoned(size, why)


def modest_size(fp: Fingerprint) -> float:
    """The smallest shorter side at which half of the objects have 16 px, at most the wanted one.

    With little time more steps at this size teach more than fewer at a larger one (docs/init.md has the
    measurement).
    """
    middle = max(float(np.median(fp.relative_sides)), 1e-6)
    size = next((one for one in SIZES if one * middle >= SMALL_SIDE), SIZES[-1])
    return min(size, wanted_size(fp).value)


def training_sizes(size: float) -> tuple[int, ...]:
    """Three shorter sides around ``size``: scale jitter of an eighth, as between 640 and 800 of the paper."""
    return tuple(max(32, round(size * factor / 16) * 16) for factor in (0.875, 1.0, 1.125))


def long_edge(fp: Fingerprint, size: float) -> Reasoned:
    """Limit of the longer side."""
    aspect = float(np.clip(np.quantile(fp.aspects, 0.9), 1.0, LARGEST_ASPECT))
    edge = -(-round(size * aspect * 1.125) // 32) * 32
    return Reasoned(edge, f"nine of ten images are at most {aspect:.2f} times as long as wide")


def too_small(fp: Fingerprint, size: float) -> str:
    """A warning where many objects vanish at this size; empty where few do."""
    share = float((fp.sides_at(size) < 8).mean())
    if share < 0.1:
        return ""
    return (
        f"{share:.0%} of the objects are below 8 px at a shorter side of {size:.0f}, which no level of the "
        "pyramid sees well: plan with more hours or a GPU, or cut the images into tiles before"
    )


def crop(fp: Fingerprint, size: float) -> Crop | None:
    """A crop that shows small objects larger at the cost of whole images of shorter side ``size``.

    None where no whole image would be too large for the objects, where few of them are small at ``size``,
    where large ones would not fit into a crop, or where hardly anything would be gained.
    """
    small = float((fp.sides_at(size) < SMALL_SIDE).mean())
    wanted = WANTED_SIDE / max(float(np.quantile(fp.relative_sides, 0.25)), 1e-6)
    if small < SMALL_SHARE or wanted <= SIZES[-1]:
        return None
    aspect = min(float(np.median(fp.aspects)), LARGEST_ASPECT)
    side = max(96, round(size * aspect**0.5 / 32) * 32)
    large = float(np.quantile(fp.relative_sides, 0.95))
    most = min(wanted, LARGEST_IN_CROP * side / large, MOST_ENLARGED * size)
    shown = int(min(most, float(np.median(fp.short_edges))) // 32) * 32
    if shown < LEAST_ENLARGED * size:
        return None
    return Crop(
        side,
        shown,
        f"{small:.0%} of the objects would be below {SMALL_SIDE:.0f} px in whole images of {size:.0f} px; "
        f"crops of images of {shown} px cost as much, and 95% of the objects fit into "
        f"{LARGEST_IN_CROP:.0%} of one",
    )


def anchors(fp: Fingerprint, size: float) -> Anchors:
    """Anchor sizes and ratios that fit the boxes best, among doublings from a smallest one.

    Five levels with a doubled size each are the paper's; what is chosen is the smallest size and the ratios.
    Of the sizes that reach about as many boxes with an IoU of .5 as any does, the one with the largest mean
    of the best IoUs is taken (as YOLO v2 chooses, arXiv 1612.08242, but not with equal centres: see
    ``_best_overlaps``).
    """
    scale = (size / fp.short_edges[fp.box_image])[:, None]
    boxes = fp.box_sides[:, :2] * scale
    usual, reached = _first_anchor(boxes, RATIOS[0])
    first, ratios = usual, RATIOS[0]
    more, more_reached = _first_anchor(boxes, RATIOS[1])
    if more_reached >= reached + MORE_RATIOS_FROM:
        first, ratios, reached = more, RATIOS[1], more_reached
    paper = _share_reached(_best_overlaps(boxes, first=32, ratios=RATIOS[0]))
    reason = (
        f"they reach {reached:.0%} of the boxes with an IoU of .5 or more (32 to 512: {paper:.0%})"
    )
    sizes = tuple(float(first * 2**level) for level in range(5))
    return Anchors(sizes, tuple(round(r, 3) for r in ratios), reached, reason)


def _first_anchor(boxes: np.ndarray, ratios: tuple[float, ...]) -> tuple[int, float]:
    """The smallest anchor for boxes (B, 2) in network pixels, and the share of them that it and its doublings
    reach."""
    tried = {first: _best_overlaps(boxes, first=first, ratios=ratios) for first in ANCHOR_STEPS}
    reached = {first: _share_reached(overlaps) for first, overlaps in tried.items()}
    most = max(reached.values())
    close = [first for first in ANCHOR_STEPS if reached[first] >= most - ANCHORS_AS_GOOD]
    best = max(close, key=lambda first: float(tried[first].mean()) if len(boxes) else 0.0)
    return best, reached[best]


def _best_overlaps(boxes: np.ndarray, *, first: float, ratios: tuple[float, ...]) -> np.ndarray:
    """The IoU (B,) of each box (B, 2) with the anchor that fits it best.

    The nearest centre of a level with stride s is s / 4 away in x and in y on average, so coarse levels fit
    small boxes less well than their sizes say.
    """
    areas = boxes.prod(axis=1)
    best = np.zeros(len(boxes))
    for level in range(5):
        away = FINEST_STRIDE * 2.0**level / 4
        for ratio in ratios:
            side = first * 2.0**level
            width, height = side / ratio**0.5, side * ratio**0.5
            inter = _shared(boxes[:, 0], width, away) * _shared(boxes[:, 1], height, away)
            best = np.maximum(best, inter / (areas + side * side - inter))
    return best


def _shared(lengths: np.ndarray, other: float, away: float) -> np.ndarray:
    """What stretches of ``lengths`` (B,) and one of length ``other`` share, with middles ``away`` apart."""
    shared = np.minimum(np.minimum(lengths, other), (lengths + other) / 2 - away)
    return np.maximum(shared, 0.0)


def _share_reached(overlaps: np.ndarray) -> float:
    return float((overlaps >= 0.5).mean()) if len(overlaps) else 1.0


def canonical_size(fp: Fingerprint, size: float) -> Reasoned:
    """Half the box side below which RoIs pool from P2 (Eq. 1)."""
    middle = float(np.median(fp.sides_at(size)))
    value = float(np.clip(round(middle / 4) * 4, 16, 56))
    return Reasoned(
        value,
        f"half of the objects are below {middle:.0f} px; 56 is the paper's, and with 16 the smallest RoIs of "
        "P3 have 4 cells for 7 bins",
    )


def tail(fp: Fingerprint) -> Tail:
    """Whether the data are long-tailed, and from how many images on a category is no tail."""
    counts = fp.category_images
    low, middle, high = np.quantile(counts, (0.1, 0.5, 0.9))
    if high < BALANCED * low:
        return Tail(
            False, 0.0, 1.0, f"categories have {low:.0f} to {high:.0f} images: no long tail"
        )
    images = min(PAPER_TAIL_IMAGES, max(10.0, float(middle)))
    while (growth := _growth(fp, images)) > MOST_REPEATS and images > 2:
        images = max(2.0, round(images * 0.7))
    below = int((counts < images).sum())
    return Tail(
        True,
        images,
        growth,
        f"{below} of {len(counts)} categories have fewer images (the paper's 100 are .001 of LVIS; here at "
        f"most half of the categories, and epochs at most {MOST_REPEATS:g} times as long: {growth:.2f})",
    )


def spared_images(fp: Fingerprint) -> Reasoned:
    """Categories of at most so many images are spared by the equalization loss."""
    total = max(1, fp.category_instances.sum())
    limits = np.unique(fp.category_images)
    held = np.array([fp.category_instances[fp.category_images <= one].sum() for one in limits])
    chosen = max(0, int((held / total <= SPARED_SHARE).sum()) - 1)
    images = min(PAPER_SPARED_IMAGES, float(limits[chosen]))
    below = fp.category_images <= images
    share = fp.category_instances[below].sum() / total
    return Reasoned(
        images,
        f"{int(below.sum())} of {len(below)} categories, with {share:.1%} of the instances (LVIS v1: 6.2%)",
    )


def _growth(fp: Fingerprint, images: float) -> float:
    factors = repeat_factors(
        fp.row,
        fp.labels,
        categories=fp.categories,
        settings=SamplerSettings(repeat_images=images),
    )
    return float(factors.images.mean()) if len(factors.images) else 1.0


def group_edges(fp: Fingerprint) -> tuple[tuple[int, ...], str]:
    """Lower bounds of the classifier's groups in instances; each group has a category."""
    counts = fp.category_instances
    edges: list[int] = []
    for edge in PAPER_EDGES:
        below = edges[-1] if edges else 0
        inside = ((counts >= below) & (counts < edge)).any()
        if inside and (counts >= edge).any():
            edges.append(edge)
    if edges:
        return tuple(
            edges
        ), "the paper's 10, 100, 1000 instances, without the edges of empty groups"
    middle = int(np.median(counts)) + 1
    if (counts < middle).any() and (counts >= middle).any():
        return (middle,), "all categories are in one of the paper's groups: the median divides them"
    return PAPER_EDGES, "all categories have as many instances; they are one group"


def batch_size(fp: Fingerprint, machine: Machine) -> Reasoned:
    """Images per step."""
    usual = CPU_BATCH if machine.kind == "cpu" else GPU_BATCH
    if fp.images < usual:
        return Reasoned(max(fp.images, 1), "all images in each step")
    if machine.kind == "cpu":
        return Reasoned(usual, "measured on CPUs: twice the steps of 8 in the same time")
    return Reasoned(usual, "the paper's")


def least_steps(start: str, *, batch: float) -> float:
    """Steps below which a schedule teaches little."""
    return LEAST_STEPS[start] * max(1.0, COUNTED_BATCH / batch)


def wanted_steps(images: float, *, batch: float, start: str) -> Reasoned:
    """Steps that the schedule should have; ``images`` of an epoch, repeats included."""
    epochs, least = WANTED_EPOCHS[start], WANTED_STEPS[start] * max(1.0, COUNTED_BATCH / batch)
    steps = epochs * images / batch
    if steps >= least:
        return Reasoned(steps, f"{epochs} epochs, as published for a start from {STARTS[start]}")
    return Reasoned(least, f"{epochs} epochs would be {steps:.0f} steps, too few to learn from")
