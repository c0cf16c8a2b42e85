"""Areas and tight boxes of many compressed RLEs of one size at once, in numpy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lvistk.masks.rle import Size, values_of_bytes


class Extents(NamedTuple):
    """Of N masks: areas (N,) int64 px, and tight boxes (N, 4) int64 xyxy in pixels, zeros where empty."""

    areas: np.ndarray
    boxes: np.ndarray


def extents(masks: Sequence[bytes], size: Size) -> Extents:
    """Areas and tight boxes of compressed counts (``rle.runs``) of height x width ``size``.

    Raises ``ValueError`` where one is no RLE, or does not fill its size.
    """
    height, width = size
    lengths = np.array([len(counts) for counts in masks], np.int64)
    values, ends = values_of_bytes(b"".join(masks))
    last_byte = np.cumsum(lengths)
    rows = np.concatenate(
        [[0], np.searchsorted(ends, last_byte)]
    )  # values of mask i: rows[i:i + 2]
    if not np.isin(last_byte[lengths > 0] - 1, ends).all():
        raise ValueError("it stops in the middle of a number")
    runs = _runs(values, rows)
    total = np.concatenate([[0], np.cumsum(runs)])
    if runs.min(initial=0) < 0 or np.any(np.diff(total[rows]) != height * width):
        raise ValueError("its runs do not fill its size")
    return _measured(runs, total, rows, height)


def _runs(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Run lengths (V,) of all masks: from its third on, a run is told by its difference to the run two
    before, but the third stands alone."""
    counts = np.diff(rows)
    first = np.repeat(rows[:-1], counts)
    place = np.arange(len(values)) - first
    runs = values.copy()
    for mine in (place % 2 == 1, (place % 2 == 0) & (place > 0)):
        sums = np.cumsum(np.where(mine, values, 0))
        runs[mine] = (sums - sums[first])[mine]
    return runs


def _measured(runs: np.ndarray, starts: np.ndarray, rows: np.ndarray, height: int) -> Extents:
    """Extents from the run lengths and where each begins, in pixels of all masks one after the other."""
    count = len(rows) - 1
    mask = np.repeat(np.arange(count), np.diff(rows))
    filled = np.flatnonzero(((np.arange(len(runs)) - rows[mask]) % 2 == 1) & (runs > 0))
    mask, length = mask[filled], runs[filled]
    areas = np.bincount(mask, length, count).astype(np.int64)
    boxes = np.zeros((count, 4), np.int64)
    if len(filled):
        low = starts[filled] - starts[rows[mask]]
        x1, y1 = np.divmod(low, height)
        x2, y2 = np.divmod(low + length - 1, height)
        y1[x2 > x1], y2[x2 > x1] = 0, height - 1  # it runs on into the next column
        heads = np.flatnonzero(np.diff(mask, prepend=-1))
        ends = [np.minimum.reduceat(end, heads) for end in (x1, y1)]
        ends += [np.maximum.reduceat(end, heads) + 1 for end in (x2, y2)]
        boxes[mask[heads]] = np.stack(ends, axis=1)
    return Extents(areas, boxes)
