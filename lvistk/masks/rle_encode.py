"""The encoder of compressed RLEs: runs and spans to bytes, as pycocotools writes them."""

import numpy as np

from lvistk.jit import kernel

MOST_BYTES = 7
"""Bytes of the longest number: the difference of two runs below 2 ** 32, five bits a byte, with its sign."""


@kernel
def write_counts(runs, n, out, at):
    """Write runs (n,), background first, as compressed counts from ``out[at]`` on; returns the end.

    Five bits a byte, lowest first, 32 says that more follow; from the fourth run on the difference to the
    run two before is written. ``out`` (uint8) has room for MOST_BYTES a run.
    """
    for k in range(n):
        value = runs[k] - runs[k - 2] if k > 2 else runs[k]
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            out[at] = 48 + (bits | 32 if more else bits)
            at += 1
    return at


@kernel
def counts_of_runs(runs, n):
    """Compressed counts (B,) uint8 of runs (n,) int64."""
    out = np.empty(MOST_BYTES * n, np.uint8)
    return out[: write_counts(runs, n, out, 0)].copy()


@kernel
def counts_of_spans(starts, stops, n, total):
    """Compressed counts (B,) uint8 of n spans in a mask of ``total`` pixels."""
    runs = np.empty(2 * n + 1, np.int64)
    end = 0
    for k in range(n):
        runs[2 * k] = np.int64(starts[k]) - end
        end = np.int64(stops[k])
        runs[2 * k + 1] = end - np.int64(starts[k])
    runs[2 * n] = total - end
    return counts_of_runs(runs, 2 * n + 1 if end < total or n == 0 else 2 * n)
