"""Instances of another image pasted onto a picture (Ghiasi et al., CVPR 2021), with its federated lists."""

import numpy as np

from lvistk.config.train import AugmentSettings
from lvistk.data.augment.mosaic import Labels, Picture
from lvistk.data.augment.warp import bitmap_of
from lvistk.data.index.instances import Instances
from lvistk.masks.bitmaps import Bitmap
from lvistk.masks.polygons import Polygons, select_polygons

CHOSEN = 0.5
"""Probability that an instance of the other image is pasted."""


def paste_instances(
    picture: Picture, other: Picture, rng: np.random.Generator, *, settings: AugmentSettings
) -> Picture:
    """``picture`` with about half of the instances of ``other``, a picture of the same size, pasted onto it.

    Masks below lose the pixels that are covered; instances that keep too little (``min_area``, ``min_kept``)
    are dropped. A pasted category that is neither annotated nor verified absent in ``picture`` becomes not
    exhaustive, since nobody annotated it there.
    """
    chosen = np.flatnonzero(rng.random(len(other.labels.instances)) < CHOSEN)
    if not len(chosen):
        return picture
    pasted = other.labels.instances.select(chosen)
    height, width = picture.pixels.shape[:2]
    cover = np.zeros((height, width), bool)
    for i in range(len(pasted)):
        bitmap = bitmap_of(pasted, i, (height, width))
        if bitmap is not None:
            x0, y0, x1, y1 = bitmap.box
            cover[y0:y1, x0:x1] |= bitmap.pixels.view(bool)
    pixels = np.where(cover[..., None], other.pixels, picture.pixels)
    below = picture.labels
    return Picture(
        pixels=pixels,
        labels=Labels(
            instances=Instances.concatenate([uncovered(below.instances, cover, settings), pasted]),
            missing=uncovered(below.missing, cover, settings),
            negative=np.setdiff1d(below.negative, pasted.labels),
            not_exhaustive=_not_exhaustive(below, pasted),
        ),
    )


def uncovered(instances: Instances, cover: np.ndarray, settings: AugmentSettings) -> Instances:
    """The instances without the pixels of ``cover`` (H, W) bool; masks that it touches become bitmaps."""
    boxes, areas = instances.boxes.copy(), instances.areas.copy()
    bitmaps, kept = dict(instances.bitmaps), np.ones(len(instances), bool)
    with_polygon = np.ones(len(instances), bool)
    height, width = cover.shape
    for i in np.flatnonzero([_reaches(cover, box) for box in boxes]).tolist():
        bitmap = bitmap_of(instances, i, (height, width))
        if bitmap is None:
            continue
        x0, y0, x1, y1 = bitmap.box
        hidden = cover[y0:y1, x0:x1] & bitmap.pixels.view(bool)
        if not hidden.any():
            continue
        rest = Bitmap(x0, y0, bitmap.pixels * ~hidden).tighten()
        left = 0 if rest is None else rest.area
        kept[i] = left >= max(settings.min_area, settings.min_kept * bitmap.area, 1.0)
        if rest is not None:
            bitmaps[i], boxes[i], areas[i], with_polygon[i] = rest, rest.box, left, False
    cut = Instances(
        labels=instances.labels,
        boxes=boxes,
        areas=areas,
        polygons=_without(instances.polygons, with_polygon),
        bitmaps=bitmaps,
        weights=instances.weights,
    )
    return cut.select(np.flatnonzero(kept))


def _reaches(cover: np.ndarray, box: np.ndarray) -> bool:
    x0, y0, x1, y1 = (int(side) for side in (*np.floor(box[:2]), *np.ceil(box[2:])))
    return bool(cover[y0:y1, x0:x1].any())


def _without(polygons: Polygons, keep: np.ndarray) -> Polygons:
    """The polygons without the parts of the instances that ``keep`` (G,) bool leaves out."""
    if keep.all():
        return polygons
    kept = select_polygons(polygons, np.flatnonzero(keep))
    counts = np.diff(polygons.instance_start) * keep
    return Polygons(kept.points, kept.part_start, np.concatenate([[0], np.cumsum(counts)]))


def _not_exhaustive(below: Labels, pasted: Instances) -> np.ndarray:
    looked_for = np.concatenate([below.negative, below.instances.labels])
    return np.union1d(below.not_exhaustive, np.setdiff1d(pasted.labels, looked_for))
