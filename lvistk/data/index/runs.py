"""Lists of many owners in one array: list r is ``values[start[r]:start[r + 1]]``."""

import numpy as np

from lvistk.masks.polygons import starts


def gather_runs(values: np.ndarray, start: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The runs ``values[start[r]:start[r + 1]]`` for each r of ``runs``, one after the other."""
    lengths = start[runs + 1] - start[runs]
    shift = start[runs] - starts(lengths)[:-1]
    return values[np.repeat(shift, lengths) + np.arange(lengths.sum())]


def run_starts(start: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Where each run begins in what ``gather_runs`` gives, and its end: (K + 1,) int64."""
    return starts(start[runs + 1] - start[runs])
