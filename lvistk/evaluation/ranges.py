"""The thresholds of LVIS, and the ranges of size and shape that a score can be restricted to."""

import itertools
from dataclasses import dataclass

import numpy as np

from lvistk.errors import UserError

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
AREA_LABELS = ("all", "small", "medium", "large")
AREA_RANGES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]], np.float64)
"""Square pixels, both ends included (so 32 * 32 is small and medium), as in lvis-api 0.5.3."""
MOST_RANGES = 16
"""Ranges are the bits of a uint16."""


@dataclass(frozen=True)
class Ranges:
    """The four area ranges, then one range for each bucket of mask area over box area.

    ``ratio_edges`` (ascending, inside 0..1) cut the ratio into buckets that include their lower end; the
    last includes 1 too; without edges there are no buckets. Ground truth instances outside a
    range are ignored in it, and
    so are detections outside it that match nothing: for ratios the rule is ours, the same as LVIS's for
    areas.
    """

    ratio_edges: tuple[float, ...] = (0.25, 0.5, 0.75)

    def __post_init__(self) -> None:
        edges = list(self.ratio_edges)
        if sorted(set(edges)) != edges or any(not 0 < edge < 1 for edge in edges):
            raise UserError(f"area_ratio_edges {edges}: give ascending numbers between 0 and 1")
        if len(self) > MOST_RANGES:
            raise UserError(f"area_ratio_edges: at most {MOST_RANGES - 5} edges")

    def __len__(self) -> int:
        return len(AREA_LABELS) + len(self.ratio_ends) - 1

    @property
    def ratio_ends(self) -> np.ndarray:
        """Ends of the buckets, with 0 and 1; just 0 where there are no edges, so no buckets."""
        return np.array([0.0, *self.ratio_edges, 1.0] if self.ratio_edges else [0.0])

    @property
    def ratio_labels(self) -> tuple[str, ...]:
        """``0-0.25`` and so on."""
        ends = self.ratio_ends.tolist()
        return tuple(f"{low:g}-{high:g}" for low, high in itertools.pairwise(ends))

    def ratio_range(self, bucket: int) -> int:
        """Number of the range of a ratio bucket."""
        return len(AREA_LABELS) + bucket
