"""All detections of an input, measured section by section into a few flat arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lvistk.evaluation.measure import DETECTION, NOWHERE, Measured
from lvistk.evaluation.pairs import PAIR


class Detections(NamedTuple):
    """N detections in the order of the input, and their pairs.

    Fields: ``table``, the columns (N,) of DETECTION by name; ``mask_scores (N,)`` float32, what masks are
    ranked by, or None where that is the score; ``mask_pairs``, ``box_pairs`` of PAIR; ``foreign_sizes``
    masks whose size is not their image's.
    """

    table: dict[str, np.ndarray]
    mask_scores: np.ndarray | None
    mask_pairs: np.ndarray
    box_pairs: np.ndarray
    foreign_sizes: int

    def unknown_categories(self) -> int:
        return int(np.count_nonzero(self.table["category"] == NOWHERE))

    def unknown_images(self) -> int:
        return int(np.count_nonzero(self.table["image"] == NOWHERE))


@dataclass
class _Column:
    """A growing array; its untouched end takes no memory."""

    data: np.ndarray
    used: int = 0

    def add(self, part: np.ndarray) -> None:
        need = self.used + len(part)
        if need > len(self.data):
            larger = np.empty(max(need, 2 * len(self.data)), self.data.dtype)
            larger[: self.used] = self.data[: self.used]
            self.data = larger
        self.data[self.used : need] = part
        self.used = need


@dataclass
class Collector:
    """Puts measured sections together; ``expect`` detections make room at once."""

    expect: int = 0
    used: int = 0
    table: dict[str, _Column] = field(init=False)
    mask_pairs: _Column = field(default_factory=lambda: _Column(np.empty(1 << 12, PAIR)))
    box_pairs: _Column = field(default_factory=lambda: _Column(np.empty(1 << 12, PAIR)))
    mask_scores: _Column = field(default_factory=lambda: _Column(np.empty(0, np.float32)))
    foreign_sizes: int = 0

    def __post_init__(self) -> None:
        room = max(self.expect, 1 << 12)
        self.table = {
            name: _Column(np.empty(room, DETECTION[name])) for name in DETECTION.names or ()
        }

    def add_all(self, parts: Iterator[Measured]) -> Detections:
        """All ``parts`` in order."""
        for part in parts:
            for pairs, column in (
                (part.mask_pairs, self.mask_pairs),
                (part.box_pairs, self.box_pairs),
            ):
                pairs["detection"] += self.used
                column.add(pairs)
            for name, column in self.table.items():
                column.add(part.detections[name])
            self.used += len(part.detections)
            if part.mask_scores is not None:
                self.mask_scores.add(part.mask_scores)
            self.foreign_sizes += part.foreign_sizes
        ranked = self.mask_scores.data[: self.mask_scores.used]
        return Detections(
            {name: column.data[: self.used] for name, column in self.table.items()},
            ranked if len(ranked) else None,
            self.mask_pairs.data[: self.mask_pairs.used],
            self.box_pairs.data[: self.box_pairs.used],
            self.foreign_sizes,
        )
