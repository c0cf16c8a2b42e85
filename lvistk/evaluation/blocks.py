"""Blocks of columns: what every input becomes before anything is measured, results JSON, detection store and
annotation JSON alike."""

from typing import NamedTuple

import numpy as np

PADDING = 128
"""Zeros that follow the text of a block in its buffer: 64 bytes may be read from any offset in it."""

NO_MASK, RLE_TEXT, RLE_RUNS, POLYGONS = 0, 1, 2, 3
"""Kinds of masks. A mask lies in ``text`` (RLE_TEXT) or in ``numbers``, from its start to its stop; runs as
they are, polygons as their number, then for each its length and coordinates."""

HAS_IMAGE, HAS_CATEGORY, HAS_SCORE, HAS_BOX, HAS_ID, HAS_AREA = 1, 2, 4, 8, 16, 32
"""Bits of ``has``."""


class Block(NamedTuple):
    """D detections or annotations of an input, one after the other in its order.

    The arrays may lie in buffers of this thread that its next block overwrites.
    """

    has: np.ndarray
    """(D,) uint8: which fields the record has"""
    image_ids: np.ndarray
    """(D,) int64"""
    category_ids: np.ndarray
    """(D,) int64"""
    scores: np.ndarray
    """(D,) float64"""
    boxes: np.ndarray
    """(D, 4) float64 x, y, width, height in pixels; (0, 4) where nobody asks for them"""
    mask_kinds: np.ndarray
    """(D,) uint8"""
    mask_starts: np.ndarray
    """(D,) int64"""
    mask_stops: np.ndarray
    """(D,) int64"""
    mask_heights: np.ndarray
    """(D,) int64, the size that an RLE is of, in pixels"""
    mask_widths: np.ndarray
    """(D,) int64"""
    escaped: np.ndarray
    """(D,) uint8: whether backslashes in ``text`` are JSON's"""
    mask_areas: np.ndarray
    """(D,) int32 pixels, where the input tells them; else (0,)"""
    mask_boxes: np.ndarray
    """(D, 4) int32 tight boxes of the masks, xyxy, where the input tells them; else (0, 4)"""
    text: np.ndarray
    """(bytes,) uint8"""
    numbers: np.ndarray
    """(numbers,) float64"""
    mask_scores: np.ndarray
    """(D,) float64, what masks are ranked by, where that is not the score; else (0,)"""
    dropped: np.ndarray
    """(D,) int64 parts that were left out of a mask because they are no polygons; (0,) where none were"""
    ids: np.ndarray
    """(D,) int64 annotation ids; (0,) for detections"""
    areas: np.ndarray
    """(D,) float64, the file's ``area``; (0,) for detections"""
    ignored: np.ndarray
    """(D,) uint8, the file's ``ignore``; (0,) for detections"""


NONE_INT64, NONE_FLOAT64, NONE_UINT8 = (np.zeros(0, kind) for kind in (np.int64, float, np.uint8))
NO_AREAS, NO_BOXES = np.zeros(0, np.int32), np.zeros((0, 4), np.int32)
