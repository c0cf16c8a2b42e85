"""Scale jitter, flip and rotation as one affine matrix per image, so that the image is warped once.

Matrices (3, 3) map image pixels to network-input pixels, both continuous: pixel i covers [i, i + 1).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from lvistk.config.train import AugmentSettings
from lvistk.masks.bitmaps import to_indices, translation

FILL = (104, 116, 124)
"""Blue, green and red of pixels outside of the image: ImageNet's mean, which normalises to about zero."""
Region = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels of the network input."""


@dataclass(frozen=True, eq=False)
class View:
    """How an image is shown.

    matrix: (3, 3) from pixels of the image to pixels of the picture
    height, width: of the picture
    """

    matrix: np.ndarray
    height: int
    width: int


def resized(size: tuple[int, int], *, short_edge: float, long_edge: float) -> tuple[int, int]:
    """Height and width after resizing an image of ``size`` (height, width).

    Its short edge becomes ``short_edge``, or less so that its long edge is at most ``long_edge``. Rounded
    half up, as detectron2's ResizeShortestEdge does.
    """
    height, width = size
    scale = short_edge / min(height, width)
    new_height, new_width = scale * height, scale * width
    if height < width:
        new_height = float(short_edge)
    else:
        new_width = float(short_edge)
    if max(new_height, new_width) > long_edge:
        scale = long_edge / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def draw_view(
    size: tuple[int, int], rng: np.random.Generator, *, settings: AugmentSettings
) -> View:
    """A random view of an image of ``size`` (height, width): scale jitter, flip, rotation, crop.

    The rotation is about the centre, and the picture keeps its size (our choice; the paper gives neither
    angle nor canvas).
    """
    edges = settings.short_edges
    if settings.short_edge_mode == "range":
        short_edge = int(rng.integers(min(edges), max(edges) + 1))
    else:
        short_edge = edges[int(rng.integers(len(edges)))]
    height, width = resized(size, short_edge=short_edge, long_edge=settings.long_edge)
    matrix = np.diag([width / size[1], height / size[0], 1.0])
    if rng.random() < settings.flip:
        matrix = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ matrix
    if rng.random() < settings.rotate_probability:
        angle = np.deg2rad(rng.uniform(-settings.rotate_degrees, settings.rotate_degrees))
        matrix = rotation(angle, width / 2, height / 2) @ matrix
    view = View(matrix, height, width)
    return cropped(view, rng, side=settings.crop) if settings.crop else view


def cropped(view: View, rng: np.random.Generator, *, side: int) -> View:
    """A random square of the view, all of it in a direction in which it is no longer than ``side``."""
    height, width = min(view.height, side), min(view.width, side)
    left = int(rng.integers(view.width - width + 1))
    top = int(rng.integers(view.height - height + 1))
    return View(translation(-left, -top) @ view.matrix, height, width)


def rotation(angle: float, x: float, y: float) -> np.ndarray:
    """The matrix (3, 3) of a rotation by ``angle`` radians, clockwise on the screen, about (x, y)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return translation(x, y) @ turn @ translation(-x, -y)


def reduction(matrix: np.ndarray) -> int:
    """1, 2, 4 or 8: an image may be decoded at this fraction of its size without losing detail."""
    largest = np.linalg.norm(matrix[:2, :2], ord=2)
    return next((part for part in (8, 4, 2) if largest * part <= 1.0), 1)


def paint(canvas: np.ndarray, image: np.ndarray, matrix: np.ndarray, region: Region) -> None:
    """Warp ``image`` (h, w, 3) into ``region`` of ``canvas`` (H, W, 3), and fill the rest of the region.

    A view that only scales or flips the image onto the whole canvas is a plain resize, which takes a third
    of the time of a warp. An image is averaged before it is scaled down, since interpolation takes only four
    pixels into account.
    """
    if _covers(image, matrix, canvas.shape, region):
        source = cv2.flip(image, 1) if matrix[0, 0] < 0 else image
        shrinks = canvas.shape[0] < image.shape[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(source, (canvas.shape[1], canvas.shape[0]), dst=canvas, interpolation=how)
        return
    x0, y0, x1, y1 = region
    if x0 >= x1 or y0 >= y1:
        return
    image, matrix = _shrunk(image, matrix)
    cv2.warpAffine(
        image,
        to_indices(translation(-x0, -y0) @ matrix),
        (x1 - x0, y1 - y0),
        dst=canvas[y0:y1, x0:x1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=FILL,
    )


def _covers(image: np.ndarray, matrix: np.ndarray, canvas: tuple[int, ...], region: Region) -> bool:
    """Whether the image covers the canvas exactly, not rotated and at most mirrored."""
    height, width = canvas[:2]
    if region != (0, 0, width, height) or matrix[0, 1] or matrix[1, 0] or matrix[1, 1] < 0:
        return False
    ends = matrix[:2, :2] @ np.array([image.shape[1], image.shape[0]]) + matrix[:2, 2]
    left, right = sorted((matrix[0, 2], ends[0]))
    wanted = np.array([0.0, width, 0.0, height])
    return bool(np.allclose([left, right, matrix[1, 2], ends[1]], wanted, atol=1e-6))


def _shrunk(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image averaged down to the scale of ``matrix`` if that is below 0.75, and the remaining matrix."""
    scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if scale >= 0.75:
        return image, matrix
    height, width = image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return shrunk, matrix @ np.diag([width / small[0], height / small[1], 1.0])


def colour_matrix(rng: np.random.Generator, strength: float) -> np.ndarray:
    """An affine colour map (3, 4) over blue, green, red: brightness, contrast, saturation and hue at once.

    Factors are uniform in 1 -+ ``strength`` / 2, the hue turns by up to ``strength`` / 2 of 36 degrees
    (ours). Contrast is towards mid grey, saturation towards the pixel's luma; the hue turns about the
    grey axis.
    """
    brightness, contrast, saturation = rng.uniform(1 - strength / 2, 1 + strength / 2, 3)
    angle = np.deg2rad(36.0) * rng.uniform(-strength / 2, strength / 2)
    luma = np.tile([0.114, 0.587, 0.299], (3, 1))
    colours = saturation * np.eye(3) + (1 - saturation) * luma
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = (
        np.cos(angle) * np.eye(3)
        + np.sin(angle) * cross
        + (1 - np.cos(angle)) * np.outer(axis, axis)
    )
    linear = contrast * brightness * turn @ colours
    return np.hstack([linear, np.full((3, 1), 128.0 * (1 - contrast))])


def recolour(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) under an affine colour map (3, 4), saturated to 0..255."""
    return cv2.transform(picture, matrix)
