"""Precision and recall of every category, threshold and range, as lvis-api accumulates them.

Precision is needed only where recall rises, at detections that match a ground truth instance. So only
detections with a pair are sorted. Of the others, nine in ten, it is only counted how many come before each
of these.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lvistk.evaluation.matching import Matches
from lvistk.evaluation.ranges import IOU_THRESHOLDS, RECALL_THRESHOLDS
from lvistk.evaluation.ranking import Candidates, rank
from lvistk.jit import kernel

EPSILON = np.spacing(1)
T, K = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS)


def curves(
    candidates: Candidates,
    matches: Matches,
    *,
    slots: np.ndarray,
    out: np.ndarray,
    slot_open: np.ndarray,
    gt_counts: np.ndarray,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, K, C, R) and recall (T, C, R) of N detections, float64.

    T IoU thresholds, K = 101 recall thresholds, C categories, R ranges.

    candidates: the detections
    matches: what became of those with a pair
    slots: (N,) slot of each detection
    out: (N,) ranges, as bits, in which a detection is ignored
    slot_open: (S,) bool, slots whose category is not exhaustively annotated in the image
    gt_counts: (C, R) ground truth instances that count; 0 gives NaN
    threads: to work with
    """
    categories, ranges = gt_counts.shape
    order, first = rank(candidates._replace(kept=matches.rows >= 0), threads=threads)
    rows = matches.rows[order]
    precision = np.empty((ranges, categories, T, K))
    recall = np.empty((ranges, categories, T))
    cuts = np.searchsorted(first, np.linspace(0, first[-1], 8 * threads + 1)[1:-1])
    edges = np.unique(np.concatenate([[0], cuts, [categories]])).tolist()
    thirds = np.linspace(0, len(slots), threads + 1).astype(int).tolist()
    ranked = candidates.scores[order]
    with ThreadPoolExecutor(threads) as pool:

        def count(a: int, b: int) -> np.ndarray:
            alone = np.zeros((len(order), ranges), np.int32)
            _count_alone(
                *candidates[:4], matches.rows, slots, out, slot_open, order, ranked, first,
                a, b, alone,
            )  # fmt: skip
            return alone

        def fill(a: int, b: int) -> None:
            _curves(
                first, rows, matches.hits, matches.misses, alone, gt_counts, a, b,
                precision, recall,
            )  # fmt: skip

        alone = sum(pool.map(count, thirds[:-1], thirds[1:]))
        list(pool.map(fill, *zip(*itertools.pairwise(edges), strict=True)))
    return precision.transpose(2, 3, 1, 0), recall.transpose(2, 1, 0)


@kernel
def _count_alone(
    kept, images, categories, scores, rows, slots, out, slot_open, order, ranked, first, a, b, alone
):
    """Count false positives without a pair among the detections a:b, in ``alone (M, R)``.

    Each is counted at the next detection with a pair in ``order (M,)`` of its category; after the last one
    it changes nothing.
    """
    for d in range(a, b):
        if not kept[d] or rows[d] >= 0 or slot_open[slots[d]]:
            continue
        low, last = first[categories[d]], first[categories[d] + 1]
        score = scores[d]
        left = last - low
        while left > 0:  # binary search without a branch: how many score better
            half = (left + 1) // 2
            low += half * (ranked[low + half - 1] > score)
            left -= half
        while low < last and ranked[low] == score:
            other = order[low]
            if images[other] > images[d] or (images[other] == images[d] and other > d):
                break
            low += 1
        if low < last:
            for r in range(alone.shape[1]):
                alone[low, r] += 1 - (np.int32(out[d]) >> r & 1)


@kernel
def _curves(first, rows, hits, misses, alone, gt_counts, low, high, precision, recall):
    for c in range(low, high):
        a, b = first[c], first[c + 1]
        for r in range(gt_counts.shape[1]):
            if gt_counts[c, r] == 0:
                precision[r, c].fill(np.nan)
                recall[r, c].fill(np.nan)
            else:
                _curve(
                    rows[a:b],
                    hits,
                    misses,
                    alone[a:b],
                    r,
                    gt_counts[c, r],
                    precision[r, c],
                    recall[r, c],
                )


@kernel
def _curve(rows, hits, misses, alone, r, gt_count, precision, recall):
    """Fill precision (T, K) and recall (T,) of one category and range."""
    right = np.zeros(T, np.int64)
    wrong = np.zeros(T, np.int64)
    others = 0  # false positives without a pair: the same at every threshold
    steps = np.empty((T, min(len(rows), gt_count)), np.float64)
    for k in range(len(rows)):
        others += alone[k, r]
        hit = hits[rows[k], r]
        miss = misses[rows[k], r]
        for t in range(T):
            if (hit >> t) & 1 != 0:
                right[t] += 1
                tp = float(right[t])
                steps[t, right[t] - 1] = tp / (float(wrong[t] + others) + tp + EPSILON)
            wrong[t] += (miss >> t) & 1
    for t in range(T):
        n = right[t]
        recall[t] = n / gt_count
        for k in range(n - 1, 0, -1):
            steps[t, k - 1] = max(steps[t, k - 1], steps[t, k])
        k = 0
        for j in range(K):
            while k < n and (k + 1) / gt_count < RECALL_THRESHOLDS[j]:
                k += 1
            precision[t, j] = steps[t, k] if k < n else 0.0
