"""All detections of an input, in a few flat arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lvistk.evaluation.columns import NOWHERE, Columns
from lvistk.evaluation.growing import Growing
from lvistk.evaluation.measure import Measured
from lvistk.evaluation.pairs import PAIR

KINDS = (np.float64, np.int32, np.int32, np.int32, np.uint16, np.uint16)
"""Types of the columns."""


class Detections(NamedTuple):
    """N detections in the order of the input, and their pairs.

    Fields: ``table``; ``mask_scores (N,)``, what masks are ranked by, or None where that is the score;
    ``mask_pairs``, ``box_pairs`` of PAIR; ``foreign_sizes`` masks whose size is not their image's.
    """

    table: Columns
    mask_scores: np.ndarray | None
    mask_pairs: np.ndarray
    box_pairs: np.ndarray
    foreign_sizes: int

    def unknown_categories(self) -> int:
        return int(np.count_nonzero(self.table.category == NOWHERE))

    def unknown_images(self) -> int:
        return int(np.count_nonzero(self.table.image == NOWHERE))


@dataclass
class Collector:
    """Puts measured sections together; ``expect`` detections make room at once."""

    expect: int = 0
    used: int = 0
    table: tuple[Growing, ...] = field(init=False)
    mask_pairs: Growing = field(default_factory=lambda: Growing(PAIR, 1 << 12))
    box_pairs: Growing = field(default_factory=lambda: Growing(PAIR, 1 << 12))
    foreign_sizes: int = 0

    def __post_init__(self) -> None:
        room = max(self.expect, 1 << 12)
        self.table = tuple(Growing(kind, room) for kind in KINDS)

    def add_all(self, parts: Iterator[Measured]) -> Detections:
        """All ``parts`` in order."""
        for part in parts:
            for pairs, column in (
                (part.mask_pairs, self.mask_pairs),
                (part.box_pairs, self.box_pairs),
            ):
                pairs["detection"] += self.used
                column.add(pairs)
            for column, values in zip(self.table, part.detections, strict=True):
                column.add(values)
            self.used += len(part.detections.score)
            self.foreign_sizes += part.foreign_sizes
        return Detections(
            Columns(*(column.filled() for column in self.table)),
            None,
            self.mask_pairs.filled(),
            self.box_pairs.filled(),
            self.foreign_sizes,
        )
