"""A mask as a bitmap in its own box: the form in which RLE masks are warped, since they may have holes."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lvistk.masks import rle
from lvistk.masks.rle import Size

SHRINK = 0.6
"""Below this scale a bitmap is averaged down before it is warped, which samples four pixels only."""


@dataclass(eq=False)
class Bitmap:
    """A mask in a box of its own.

    x, y: column and row of its upper left pixel in the image
    pixels: (h, w) uint8 of 0 and 1
    """

    x: int
    y: int
    pixels: np.ndarray

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.pixels))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the bitmap; tight after ``tighten``."""
        height, width = self.pixels.shape
        return self.x, self.y, self.x + width, self.y + height

    def tighten(self) -> "Bitmap | None":
        """The same mask without empty rows and columns around it; None when it is empty."""
        columns = np.flatnonzero(self.pixels.any(axis=0))
        if not len(columns):
            return None
        rows = np.flatnonzero(self.pixels.any(axis=1))
        pixels = self.pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return Bitmap(self.x + int(columns[0]), self.y + int(rows[0]), pixels)

    def warp(
        self, matrix: np.ndarray, rectangle: tuple[float, float, float, float]
    ) -> "Bitmap | None":
        """The mask under an affine matrix, tight; None when nothing is left.

        matrix: (3, 3)
        rectangle: x0, y0, x1, y1 in whole numbers, where the mask is cut

        A pixel belongs to the mask when the mask, interpolated linearly at the pixel's centre, is at least
        half there.
        """
        x0, y0, x1, y1 = self._reach(matrix, rectangle)
        if x0 >= x1 or y0 >= y1:
            return None
        scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
        source, own = self.pixels * np.uint8(255), translation(self.x, self.y)
        if scale < SHRINK:
            source, own = _shrink(source, own, scale)
        inner = to_indices(translation(-x0, -y0) @ matrix @ own)
        warped = cv2.warpAffine(source, inner, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        return Bitmap(x0, y0, (warped >= 128).astype(np.uint8)).tighten()

    def _reach(
        self, matrix: np.ndarray, rectangle: tuple[float, float, float, float]
    ) -> tuple[int, int, int, int]:
        """Whole pixels of ``rectangle`` that the warped box can touch."""
        x0, y0, x1, y1 = self.box
        corners = np.array([[x0, x1, x1, x0], [y0, y0, y1, y1]], np.float64)
        mapped = matrix[:2, :2] @ corners + matrix[:2, 2:]
        low = np.maximum(np.floor(mapped.min(axis=1)), rectangle[:2])
        high = np.minimum(np.ceil(mapped.max(axis=1)), rectangle[2:])
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def bitmap_from_rle(counts: bytes, size: Size) -> Bitmap | None:
    """The tight bitmap of an RLE mask; None when it is empty."""
    return Bitmap(0, 0, rle.decode(counts, size)).tighten()


def bitmap_from_polygons(parts: Sequence[np.ndarray]) -> Bitmap | None:
    """The tight bitmap of the union of parts (V, 2), as COCO draws them; None when it is empty."""
    if not parts:
        return None
    points = np.concatenate(parts)
    low = np.floor(points.min(axis=0)).astype(int)
    width, height = np.maximum(np.ceil(points.max(axis=0)).astype(int) - low, 1)
    counts = rle.from_polygons([part - low for part in parts], (int(height), int(width)))
    bitmap = bitmap_from_rle(counts, (int(height), int(width)))
    return bitmap and Bitmap(bitmap.x + int(low[0]), bitmap.y + int(low[1]), bitmap.pixels)


def translation(x: float, y: float) -> np.ndarray:
    """The matrix (3, 3) that moves by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def to_indices(matrix: np.ndarray) -> np.ndarray:
    """A matrix between continuous coordinates as OpenCV's (2, 3) between pixel indices.

    The centre of pixel i lies at i + 0.5 for us, and at i for OpenCV.
    """
    return (translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5))[:2]


def _shrink(source: np.ndarray, own: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The bitmap averaged down by ``scale``, and the matrix from its pixels to the image's."""
    height, width = source.shape
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(source, small, interpolation=cv2.INTER_AREA)
    return shrunk, own @ np.diag([width / small[0], height / small[1], 1.0])
