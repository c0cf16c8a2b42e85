"""Detections as columns, the same for every input."""

from typing import NamedTuple

import numpy as np

NOWHERE = -1
DROPPED = np.uint16(0xFFFF)
"""All bits of ``mask_out`` or ``box_out``."""


class Columns(NamedTuple):
    """N detections (N,) each; 24 bytes of one are all that stays of it, besides its pairs."""

    score: np.ndarray
    """float64"""
    image: np.ndarray
    """int32 row in the ground truth, NOWHERE where it has no such image"""
    category: np.ndarray
    """int32 row in the ground truth, NOWHERE where it has no such category"""
    slot: np.ndarray
    """int32, NOWHERE where its image and category are not judged"""
    mask_out: np.ndarray
    """uint16 ranges (bits) it lies outside of, by the area its mask is judged by; DROPPED: no area"""
    box_out: np.ndarray
    """uint16, the same of its box"""


KINDS = (np.float64, np.int32, np.int32, np.int32, np.uint16, np.uint16)
"""Types of the columns."""
