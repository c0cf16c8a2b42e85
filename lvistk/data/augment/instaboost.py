"""InstaBoost: each instance moved, scaled and rotated a little (Fang et al., ICCV 2019).

As in EQL v2's configurations: it moves by up to a fifteenth of its sides, is scaled by 0.8 to 1.2, rotated by
up to one degree, and changes its colour with a probability of one half. Two things differ from the original:
holes are filled by averages over growing windows (inpainting takes hundreds of times as long), and instances
that largely overlap another one, such as a shirt and its wearer, are not moved.
"""

import cv2
import numpy as np

from lvistk.config.train import AugmentSettings
from lvistk.data.augment.augment import colour_matrix, recolour, rotation
from lvistk.data.augment.warp import bitmap_of, warp_instances
from lvistk.data.index.instances import Instances
from lvistk.masks.bitmaps import Bitmap, to_indices, translation

SHIFT = 1 / 15
"""Largest shift as a share of the box's width or height."""
SCALES = (0.8, 1.2)
"""Smallest and largest scale."""
TURN = 1.0
"""Largest rotation in degrees."""
COLOUR_CHANCE, COLOUR = 0.5, 0.5
"""Probability of another colour, and how much it changes (see ``colour_matrix``)."""
OVERLAP = 0.5
"""Instances are not moved if their boxes share at least this part of the smaller box."""
WINDOWS = (9, 33, 129, 513)
"""Sides in pixels of the windows that fill holes."""
RIM = 5
"""Side in pixels of the square that widens holes, since outlines are drawn inside of the object's edge."""
FEATHER = 3
"""Side in pixels of the window that softens the edge of a pasted instance."""


def boost(
    pixels: np.ndarray, instances: Instances, rng: np.random.Generator, *, settings: AugmentSettings
) -> tuple[np.ndarray, Instances]:
    """The image (H, W, 3) with its instances moved, and the instances at their new locations."""
    height, width = pixels.shape[:2]
    free = _free(instances.boxes)
    masks = {i: bitmap for i in free if (bitmap := bitmap_of(instances, i, (height, width)))}
    if not masks:
        return pixels, instances
    hole = np.zeros((height, width), np.uint8)
    for bitmap in masks.values():
        x0, y0, x1, y1 = bitmap.box
        hole[y0:y1, x0:x1] |= bitmap.pixels
    boosted = fill_holes(pixels, cv2.dilate(hole, np.ones((RIM, RIM), np.uint8)))
    rectangle = (0, 0, width, height)
    placed = []
    for i in range(len(instances)):
        alone = instances.select(np.array([i]))
        if i in masks:
            matrix = _jitter(instances.boxes[i], rng)
            change = colour_matrix(rng, COLOUR) if rng.random() < COLOUR_CHANCE else None
            alone = warp_instances(alone, matrix, rectangle, settings=settings)
            if len(alone):
                _paste(boosted, pixels, masks[i], matrix, change)
        placed.append(alone)
    return boosted, Instances.concatenate(placed)


def fill_holes(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) with the pixels at which ``hole`` (H, W) is 1 filled.

    Each gets the mean of the pixels outside of the hole in the smallest window that has some.
    """
    filled, left = pixels.copy(), hole.astype(bool)
    known = (1 - hole).astype(np.float32)
    colours = pixels * known[..., None]
    for side in WINDOWS:
        if not left.any():
            break
        weight = cv2.blur(known, (side, side), borderType=cv2.BORDER_CONSTANT)
        total = cv2.blur(colours, (side, side), borderType=cv2.BORDER_CONSTANT)
        here = left & (weight > 0.02)
        filled[here] = total[here] / weight[here][:, None]
        left &= ~here
    return filled


def _free(boxes: np.ndarray) -> list[int]:
    """Instances whose box does not largely overlap another box."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)  # (G, G)
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    share = shared / np.maximum(np.minimum(sides[:, None], sides[None]), 1e-6)
    np.fill_diagonal(share, 0.0)
    return np.flatnonzero((share < OVERLAP).all(axis=1)).tolist()


def _jitter(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random matrix (3, 3) that moves, scales and rotates about the centre of ``box``."""
    x, y = (box[:2] + box[2:]) / 2
    sides = box[2:] - box[:2]
    shift_x, shift_y = rng.uniform(-SHIFT, SHIFT, 2) * sides
    scale = rng.uniform(*SCALES)
    turn = rotation(np.deg2rad(rng.uniform(-TURN, TURN)), x, y)
    grow = translation(x, y) @ np.diag([scale, scale, 1.0]) @ translation(-x, -y)
    return translation(shift_x, shift_y) @ turn @ grow


def _paste(
    canvas: np.ndarray,
    image: np.ndarray,
    bitmap: Bitmap,
    matrix: np.ndarray,
    colours: np.ndarray | None,
) -> None:
    """Blend an instance of ``image`` onto ``canvas`` at its new location, with a soft edge.

    bitmap: its mask in ``image``
    matrix: (3, 3) from its old to its new location
    colours: a matrix for ``recolour``, or None
    """
    x0, y0, x1, y1 = bitmap.box
    patch = image[y0:y1, x0:x1]
    if colours is not None:
        patch = recolour(patch, colours)
    moved = bitmap.warp(matrix, (0, 0, canvas.shape[1], canvas.shape[0]))
    if moved is None:
        return
    left, top, right, bottom = moved.box
    inner = to_indices(translation(-left, -top) @ matrix @ translation(x0, y0))
    size = (right - left, bottom - top)
    warped = cv2.warpAffine(patch, inner, size, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.blur(moved.pixels.astype(np.float32), (FEATHER, FEATHER))[..., None]
    below = canvas[top:bottom, left:right]
    below[:] = np.round(alpha * warped + (1 - alpha) * below).astype(np.uint8)
