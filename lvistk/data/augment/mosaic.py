"""A training picture composed of one image, or of four around a point (mosaic)."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lvistk.config.train import AugmentSettings
from lvistk.data.augment.augment import FILL, Region, View, paint
from lvistk.data.augment.warp import warp_instances
from lvistk.data.index.instances import Instances
from lvistk.masks.bitmaps import translation


@dataclass(eq=False)
class Labels:
    """What is known of an image.

    instances: annotated
    missing: detections on missing annotations
    negative: (K,) int64, labels of the categories verified absent
    not_exhaustive: (K,) int64, labels of the categories of which not every instance is annotated
    """

    instances: Instances
    missing: Instances
    negative: np.ndarray
    not_exhaustive: np.ndarray

    def warp(self, matrix: np.ndarray, region: Region, *, settings: AugmentSettings) -> "Labels":
        """The labels under ``matrix`` (3, 3), clipped to ``region``; the lists do not change."""
        return Labels(
            instances=warp_instances(self.instances, matrix, region, settings=settings),
            missing=warp_instances(self.missing, matrix, region, settings=settings),
            negative=self.negative,
            not_exhaustive=self.not_exhaustive,
        )


@dataclass(eq=False)
class Picture:
    """A training picture.

    pixels: (H, W, 3) uint8, blue, green, red
    labels: in pixels of the picture
    """

    pixels: np.ndarray
    labels: Labels


@dataclass(eq=False)
class Tile:
    """A decoded image and where it goes.

    pixels: (h, w, 3) uint8, which may have been decoded at a fraction of its size
    size: height and width of the full image
    labels: in pixels of the full image
    matrix: (3, 3) from pixels of the full image to pixels of the canvas
    region: of the canvas that it fills
    """

    pixels: np.ndarray
    size: tuple[int, int]
    labels: Labels
    matrix: np.ndarray
    region: Region


def compose(
    tiles: Sequence[Tile], *, height: int, width: int, settings: AugmentSettings
) -> Picture:
    """One picture of one or more tiles; each image is warped once."""
    canvas = np.empty((height, width, 3), np.uint8)
    if len(tiles) > 1:
        cv2.rectangle(canvas, (0, 0), (width, height), FILL, cv2.FILLED)  # numpy takes 9 ms for it
    for tile in tiles:
        decoded = tile.pixels.shape
        restore = np.diag([tile.size[1] / decoded[1], tile.size[0] / decoded[0], 1.0])
        paint(canvas, tile.pixels, tile.matrix @ restore, tile.region)
    warped = [tile.labels.warp(tile.matrix, tile.region, settings=settings) for tile in tiles]
    return Picture(canvas, join_labels(warped))


def join_labels(several: Sequence[Labels]) -> Labels:
    """Labels of images that share a canvas.

    A category is negative if it is negative in all of them and annotated in none, and not exhaustive if it
    is so in any (our choice).
    """
    if len(several) == 1:
        return several[0]
    instances = Instances.concatenate([one.instances for one in several])
    negative = several[0].negative
    for one in several[1:]:
        negative = np.intersect1d(negative, one.negative)
    return Labels(
        instances=instances,
        missing=Instances.concatenate([one.missing for one in several]),
        negative=np.setdiff1d(negative, instances.labels),
        not_exhaustive=np.unique(np.concatenate([one.not_exhaustive for one in several])),
    )


def mosaic_centre(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """x and y of the point where four images meet: uniform in the middle half of each side (YOLOv4)."""
    height, width = size
    return round(rng.uniform(0.25, 0.75) * width), round(rng.uniform(0.25, 0.75) * height)


def place_in_mosaic(
    views: Sequence[View], *, centre: tuple[int, int], size: tuple[int, int]
) -> list[tuple[np.ndarray, Region]]:
    """Matrix and region of four views on a canvas of ``size`` (height, width).

    views: upper left, upper right, lower left, lower right
    centre: (x, y), where the inner corners of the views meet

    Images keep the size that scale jitter gave them, so that instances are as large as in single images (our
    choice; mmdetection fits each image into a quarter).
    """
    (x, y), (height, width) = centre, size
    placed = []
    for number, view in enumerate(views):
        right, lower = bool(number % 2), number >= 2
        left_end = x if right else max(x - view.width, 0)
        top_end = y if lower else max(y - view.height, 0)
        region = (
            left_end,
            top_end,
            min(x + view.width, width) if right else x,
            min(y + view.height, height) if lower else y,
        )
        shift = translation(x if right else x - view.width, y if lower else y - view.height)
        placed.append((shift @ view.matrix, region))
    return placed
