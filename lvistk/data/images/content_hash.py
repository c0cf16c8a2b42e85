"""A hash of what an image shows, which survives resizing, compression, other brightness, and small crops."""

import itertools

import cv2
import numpy as np

SIDE = 16
BITS = SIDE * SIDE
MARGIN = 1.0
"""Grey levels by which a neighbour has to be brighter: in flat areas compression alone decides less."""
SAME_BITS = 28
"""Hashes that differ in at most so many of the 256 bits are of one picture. Measured on 633 real images:
copies at half the size differ in at most 12 bits, at JPEG quality 30 in 24, both together in 21 for 99% of
the images; any two different images in 44 bits or more. On 317 of them, a window of one image and another
whole image differ in 43 bits or more."""

SAME_SHARE = 0.3
"""And in at most this share of the bits that either has: a nearly flat image has few."""
CUT = 0.05
"""Share of a side that windows leave off, at either end or at both."""
_ENDS = ((0.0, 0.0), (CUT, 0.0), (0.0, CUT), (CUT, CUT), (CUT / 2, CUT / 2))
WINDOWS = tuple(itertools.product(_ENDS, _ENDS))
"""What each of W windows leaves off, in shares: (top, bottom), (left, right). The first is the whole."""


def content_hash(pixels: np.ndarray) -> np.ndarray:
    """Hash (4,) uint64 of an image (H, W, 3) uint8 in blue, green, red.

    Bit k says whether the (k + 1)th of 17 columns is brighter than the kth, in each of 16 rows ("dHash").
    """
    return _hash(_grey(pixels))


def window_hashes(pixels: np.ndarray) -> np.ndarray:
    """Hashes (W, 4) uint64 of an image's WINDOWS: cropped copies show nearly the same as one of them.

    Copies without 2 or 5% at each side, or 5% at one, match a window of all of 317 real images, of the whole
    image only 49, 1 and 2%; copies that lost 5 to 10% at random match in 51%, mirrored ones in none.
    """
    grey = _grey(pixels)
    height, width = grey.shape
    return np.stack(
        [
            _hash(
                grey[
                    int(t * height) : height - int(b * height),
                    int(f * width) : width - int(e * width),
                ]
            )
            for (t, b), (f, e) in WINDOWS
        ]
    )


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Grey levels, of at most eight times the hash's sides where the image is larger."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    if min(grey.shape) > 8 * SIDE:
        grey = cv2.resize(grey, (8 * (SIDE + 1), 8 * SIDE), interpolation=cv2.INTER_AREA)
    return grey


def _hash(grey: np.ndarray) -> np.ndarray:
    small = cv2.resize(grey.astype(np.float32), (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    brighter = small[:, 1:] - small[:, :-1] > MARGIN
    return np.packbits(brighter).view(np.uint64)


def bits_apart(hashes: np.ndarray, one: np.ndarray) -> np.ndarray:
    """In how many bits (N,) each of ``hashes (N, 4)`` differs from ``one (4,)``."""
    return np.bitwise_count(hashes ^ one).sum(axis=1, dtype=np.int64)


def same_picture(hashes: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Which (N,) of ``hashes (N, 4)`` are of the same picture as ``one (4,)``."""
    either = np.bitwise_count(hashes | one).sum(axis=1, dtype=np.int64)
    return bits_apart(hashes, one) <= np.minimum(SAME_BITS, SAME_SHARE * either)
