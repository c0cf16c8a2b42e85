"""Which view a detection's mask comes from (arXiv 2009.01559: chosen by box scale and area ratio).

The paper gives no rule. Ours: a thin mask needs pixels, so the smaller the share of its box that the mask
fills, the larger the box should be in the view.
"""

from collections.abc import Sequence

import numpy as np

from lvistk.config.inference import MergeSettings
from lvistk.inference.candidates import Candidates
from lvistk.inference.multi_view import Masks, MultiViewBatch

RATIO_EDGES = (0.5, 0.25)
"""Area ratios that part the wanted sides (Eq. 1 parts its levels there too)."""


def make_masks(
    batch: MultiViewBatch, detections: Sequence[Candidates], settings: MergeSettings
) -> list[Masks]:
    """Masks of each image's detections from the views that ``mask_source`` says.

    ``found``: the view that the box comes from. ``selected``: a first mask there gives the area ratio, and a
    second one is made where another view suits better. ``average``: the mean of all views' masks and
    predicted IoUs. With one view all three are the same.
    """
    origins = [of_image.views for of_image in detections]
    if settings.mask_source == "average" and len(batch.views) > 1:
        return _average(batch, detections)
    first = batch.masks(detections, origins)
    if settings.mask_source == "found" or len(batch.views) == 1:
        return first
    elsewhere = [
        _better_view(batch, image, detections[image], mask, settings)
        for image, mask in enumerate(first)
    ]
    second = batch.masks(detections, elsewhere)
    for mask, better, views in zip(first, second, elsewhere, strict=True):
        rows = np.flatnonzero(views >= 0)
        if len(rows):
            mask.put(rows, better.probs[rows], None if better.iou is None else better.iou[rows])
    return first


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
    origins: np.ndarray,
    scales: Sequence[float],
    flips: Sequence[bool],
    sides: tuple[float, float, float],
) -> np.ndarray:
    """View (N,) int32 in which each box's side is nearest, in log2, to the wanted one.

    ``boxes`` (N, 4) in image pixels; ``origins`` (N,) the view that each box comes from; ``scales``
    and ``flips`` of the V views. Among equally near views the box's own wins, then one flipped like it,
    then the first.
    """
    extent = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    side = np.sqrt(np.maximum(extent.prod(1), 1e-12))  # (N,)
    side_in_view = side[:, None] * np.asarray(scales, np.float64)  # (N, V)
    distance = np.abs(np.log2(side_in_view / wanted_sides(area_ratio, sides)[:, None]))
    flipped = np.asarray(flips, bool)
    distance += 1e-9 * (np.arange(len(scales)) != origins[:, None])
    distance += 1e-9 * (flipped[None] != flipped[origins][:, None])
    return distance.argmin(1).astype(np.int32)


def _better_view(
    batch: MultiViewBatch, image: int, detections: Candidates, first: Masks, settings: MergeSettings
) -> np.ndarray:
    """The chosen view (N,) of each detection of an image; -1 where it is the view of the box."""
    if not len(detections):
        return np.zeros(0, np.int32)
    chosen = choose_views(
        detections.boxes,
        (first.probs >= settings.mask_threshold).mean((1, 2)),
        origins=detections.views,
        scales=[geometries[image].scale for geometries in batch.images.geometries],
        flips=[view.flip for view in batch.views],
        sides=settings.mask_sides,
    )
    return np.where(chosen != detections.views, chosen, -1)


def _average(batch: MultiViewBatch, detections: Sequence[Candidates]) -> list[Masks]:
    total: list[Masks] = []
    for number in range(len(batch.views)):
        views = [np.full(len(of_image), number, np.int32) for of_image in detections]
        masks = batch.masks(detections, views)
        total = [_add(a, b) for a, b in zip(total, masks, strict=True)] if total else masks
    share = np.float32(1 / len(batch.views))
    return [Masks(m.probs * share, None if m.iou is None else m.iou * share) for m in total]


def _add(a: Masks, b: Masks) -> Masks:
    return Masks(a.probs + b.probs, None if a.iou is None or b.iou is None else a.iou + b.iou)
