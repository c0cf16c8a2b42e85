"""Precision and recall of every category, threshold and range, as lvis-api accumulates them."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lvistk.evaluation.jit import kernel
from lvistk.evaluation.matching import Matches
from lvistk.evaluation.ranges import IOU_THRESHOLDS, RECALL_THRESHOLDS
from lvistk.evaluation.ranking import Ranking

EPSILON = np.spacing(1)
T, K = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS)


def curves(
    ranking: Ranking,
    matches: Matches,
    *,
    slots: np.ndarray,
    out: np.ndarray,
    slot_open: np.ndarray,
    truth_counts: np.ndarray,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, K, C, R) and recall (T, C, R) float64; NaN where a category has no truth.

    T IoU thresholds, K = 101 recall thresholds; ``truth_counts (C, R)`` truths that count.
    """
    categories, ranges = truth_counts.shape
    precision = np.full((ranges, categories, T, K), np.nan)
    recall = np.full((ranges, categories, T), np.nan)
    first = ranking.first
    cuts = np.searchsorted(first, np.linspace(0, first[-1], 8 * threads + 1)[1:-1])
    edges = np.unique(np.concatenate([[0], cuts, [categories]]))
    fixed = (ranking.order, first, matches.rows, matches.hits, matches.misses)
    with ThreadPoolExecutor(threads) as pool:
        for done in [
            pool.submit(
                _curves, *fixed, slots, out, slot_open, truth_counts, a, b, precision, recall
            )
            for a, b in itertools.pairwise(edges.tolist())
        ]:
            done.result()
    return precision.transpose(2, 3, 1, 0), recall.transpose(2, 1, 0)


@kernel
def _curves(
    order,
    first,
    rows,
    hits,
    misses,
    slots,
    out,
    slot_open,
    truth_counts,
    low,
    high,
    precision,
    recall,
):
    ranges = truth_counts.shape[1]
    for c in range(low, high):
        mine = order[first[c] : first[c + 1]]
        flags = np.empty(len(mine), np.uint16)
        places = np.empty(len(mine), np.int32)
        for k in range(len(mine)):
            d = mine[k]
            flags[k] = 0xFFFF if slot_open[slots[d]] else out[d]
            places[k] = rows[d]
        for r in range(ranges):
            if truth_counts[c, r] > 0:
                _curve(
                    flags,
                    places,
                    hits,
                    misses,
                    r,
                    truth_counts[c, r],
                    precision[r, c],
                    recall[r, c],
                )


@kernel
def _curve(flags, places, hits, misses, r, truth_count, precision, recall):
    """Fill precision (T, K) and recall (T,) of one category and range."""
    right = np.zeros(T, np.int64)
    wrong = np.zeros(T, np.int64)
    alone = 0  # false positives without a pair: the same at every threshold
    room = 0
    for k in range(len(places)):
        room += places[k] >= 0
    steps = np.empty((T, min(room, truth_count)), np.float64)
    for k in range(len(places)):
        row = places[k]
        if row < 0:
            alone += (flags[k] >> r) & 1 == 0
            continue
        hit = hits[row, r]
        miss = misses[row, r]
        for t in range(T):
            if (hit >> t) & 1 != 0:
                right[t] += 1
                tp = float(right[t])
                steps[t, right[t] - 1] = tp / (float(wrong[t] + alone) + tp + EPSILON)
            wrong[t] += (miss >> t) & 1
    for t in range(T):
        n = right[t]
        recall[t] = n / truth_count
        for k in range(n - 1, 0, -1):
            steps[t, k - 1] = max(steps[t, k - 1], steps[t, k])
        k = 0
        for j in range(K):
            while k < n and (k + 1) / truth_count < RECALL_THRESHOLDS[j]:
                k += 1
            precision[t, j] = steps[t, k] if k < n else 0.0
