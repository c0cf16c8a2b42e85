"""Views of a plan: one for quick looks, several for the final detections."""

import math
from typing import Any

import numpy as np

from lvistk.planning.basis import Basis
from lvistk.planning.planned import Choice

TTA_FACTORS = (0.875, 1.25)
"""Views over the training size, as of the demo."""
SINGLE_FACTOR, LARGEST_SINGLE = 1.0625, 800
"""The single view over the middle training size (measured: docs/init.md), up to the paper's size."""
SMALLEST_IN_VIEW, LARGEST_IN_VIEW = 20.0, 96.0
"""Sides in the view, pixels, from and up to which the small and the large view give objects (the demo's)."""


def single_view(basis: Basis, size: float) -> dict[str, Any]:
    """A little above the middle training size, not flipped."""
    edge = min(round(size * SINGLE_FACTOR / 8) * 8, max(round(size), LARGEST_SINGLE))
    long_edge = round(basis.long_edge(size) * edge / size)
    return {"short_edges": [edge], "long_edge": long_edge, "flip": False}


def tta_views(basis: Basis, size: float) -> dict[str, Any]:
    """A size below and one above the training size, each flipped too."""
    edges = [round(size * factor / 16) * 16 for factor in TTA_FACTORS]
    return {
        "short_edges": edges,
        "long_edge": round(basis.long_edge(size) * TTA_FACTORS[-1]),
        "flip": True,
    }


def tta_choices(basis: Basis, size: float) -> tuple[Choice, ...]:
    """The views with their valid ranges, in pixels of the original images."""
    views = tta_views(basis, size)
    small, large = views["short_edges"]
    own = float(np.median(basis.fp.short_edges))
    low = round(SMALLEST_IN_VIEW * own / small)
    high = max(round(LARGEST_IN_VIEW * own / large), low + 1)
    return (
        Choice("short_edges", views["short_edges"], "below and above the training size"),
        Choice("long_edge", views["long_edge"]),
        Choice("flip", True),
        Choice(
            "valid_ranges",
            [[low, math.inf], [0, high]],
            "the small view gives no object below 20 px of it, the large one none above 96 px",
        ),
    )
