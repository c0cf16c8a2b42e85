"""Which other images join a training image: the tiles of its mosaic, and the donor of pasted objects."""

from collections.abc import Sequence

import numpy as np


class Partners:
    """Draws images of the same source as the sample's own.

    Images of source 0 (the annotated ones) are drawn in proportion to ``weights``: their repeat factors, as
    the paper's trick has it, or ones. Images of further sources are drawn uniformly.
    """

    def __init__(self, sizes: Sequence[int], weights: np.ndarray) -> None:
        """``sizes``: images of each source. ``weights`` (I,): one per image of source 0, which is not drawn
        at 0."""
        self._sizes = tuple(sizes)
        self._cumulative = np.cumsum(weights)

    def draw(self, source: int, count: int, rng: np.random.Generator) -> list[int]:
        """Rows of ``count`` images of ``source``; an image may come more than once."""
        if source:
            return rng.integers(self._sizes[source], size=count).tolist()
        drawn = rng.random(count) * self._cumulative[-1]
        return np.searchsorted(self._cumulative, drawn, side="right").tolist()
