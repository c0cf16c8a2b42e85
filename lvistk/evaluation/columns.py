"""Detections as columns, the same for every input."""

from typing import NamedTuple

import numpy as np

from lvistk.jit import kernel

NOWHERE = -1
DROPPED = np.uint16(0xFFFF)
"""All bits of ``mask_out`` or ``box_out``."""


class Columns(NamedTuple):
    """N detections (N,) each; 24 bytes of one are all that stays of it, besides its pairs."""

    score: np.ndarray
    """float64"""
    image: np.ndarray
    """int32 row in the ground truth, NOWHERE where it has none"""
    category: np.ndarray
    """int32 row in the ground truth, NOWHERE where it has none"""
    slot: np.ndarray
    """int32, NOWHERE where its image and category are not judged"""
    mask_out: np.ndarray
    """uint16 ranges (bits) it lies outside of, by the area its mask is judged by; DROPPED: no area"""
    box_out: np.ndarray
    """uint16, the same of its box"""


@kernel
def columns_for(count):
    """Room for ``count`` detections."""
    return Columns(
        np.empty(count, np.float64),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.uint16),
        np.empty(count, np.uint16),
    )


@kernel
def put(columns, k, score, image, category, slot):
    """Detection ``k``, dropped as yet."""
    columns.score[k] = score
    columns.image[k] = image
    columns.category[k] = category
    columns.slot[k] = slot
    columns.mask_out[k] = DROPPED
    columns.box_out[k] = DROPPED
