"""Scores of resampled images, accumulated anew from what became of each detection; nothing is matched twice.

An image that is drawn w times counts as w images. Copies of a detection have the same score, so the
precision at the last of w true positives is the highest among them; taking them as one step of w
therefore gives exactly what an evaluation of the copied images would. A block of resamples is made in one
pass: how many copies of detections that are wrong at every threshold, nine in ten, come before each other
detection is counted for all resamples at once.
"""

import numpy as np

from lvistk.comparison.outcomes import ALL_THRESHOLDS, Outcomes
from lvistk.evaluation.curves import EPSILON
from lvistk.evaluation.ranges import IOU_THRESHOLDS, RECALL_THRESHOLDS
from lvistk.jit import kernel

T, K = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS)
BLOCK = 32
"""Resamples that are made at once; their weights of an image fill a cache line."""


def draw_images(count: int, *, seed: int, sample: int) -> np.ndarray:
    """How often each of ``count`` images is drawn, (count,) int64, with replacement, in all ``count`` times.

    A function of seed and sample, whatever the order in which samples are made.
    """
    generator = np.random.default_rng([seed, sample])
    return np.bincount(generator.integers(0, count, count), minlength=count)


def resampled_ap(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """AP (S, C, T) float64 of each category at each IoU threshold with images counted ``weights (S, I)``
    times in S resamples, BLOCK at most; NaN where no ground truth instance is left."""
    padded = np.zeros((weights.shape[1], BLOCK), np.uint16)
    padded[:, : len(weights)] = weights.T
    ap = np.full((BLOCK, len(outcomes.first) - 1, T), np.nan)
    _resampled_ap(*outcomes, padded, ap)
    return ap[: len(weights)]


@kernel
def _resampled_ap(images, hits, misses, first, gt_images, gt_categories, limit, weights, ap):
    categories = len(first) - 1
    gts = np.zeros((categories, BLOCK), np.int64)
    for g in range(len(gt_images)):
        for s in range(BLOCK):
            gts[gt_categories[g], s] += weights[gt_images[g], s]
    for c in range(categories):
        if gts[c].max() == 0:
            continue
        a, b = first[c], first[c + 1]
        paired, copies, alone = _count_before(images[a:b], hits[a:b], misses[a:b], weights, limit)
        some_hits, some_misses = hits[a + paired], misses[a + paired]
        steps = np.empty((len(paired), T), np.float64)
        reached = np.empty((len(paired), T), np.int64)
        for s in range(BLOCK):
            if gts[c, s] > 0:
                reach = _reach(gts[c, s])
                _accumulate(
                    some_hits, some_misses, copies, alone, s, reach, steps, reached, ap[s, c]
                )


@kernel
def _count_before(images, hits, misses, weights, limit):
    """Indices (P,) of detections that are not wrong at every threshold, copies (P, BLOCK) of each that count,
    and how many copies of others, that are wrong everywhere, come before it."""
    count = 0
    for k in range(len(images)):
        count += hits[k] | misses[k] != 0 and misses[k] != ALL_THRESHOLDS
    paired = np.empty(count, np.int64)
    copies = np.empty((count, BLOCK), np.int32)
    before = np.empty((count, BLOCK), np.int32)
    alone = np.zeros(BLOCK, np.int32)
    room = np.full(BLOCK, limit, np.int32)
    now = np.empty(BLOCK, np.int32)
    n = 0
    for k in range(len(images)):
        weight = weights[images[k]]
        for s in range(BLOCK):
            now[s] = weight[s]
        if limit > 0:
            for s in range(BLOCK):
                now[s] = min(now[s], room[s])
                room[s] -= now[s]
        if misses[k] == ALL_THRESHOLDS:
            for s in range(BLOCK):
                alone[s] += now[s]
        elif hits[k] | misses[k] != 0:
            paired[n] = k
            copies[n] = now
            before[n] = alone
            n += 1
        if limit > 0 and k % 1024 == 0 and room.max() == 0:
            break
    return paired[:n], copies[:n], before[:n]


@kernel
def _reach(gts):
    """(ground truth instances + 1,) int64: how many recall thresholds so many true positives
    reach."""
    reach = np.empty(gts + 1, np.int64)
    j = 0
    for right in range(gts + 1):
        while j < K and right / gts >= RECALL_THRESHOLDS[j]:
            j += 1
        reach[right] = j
    return reach


@kernel
def _accumulate(hits, misses, copies, alone, s, reach, steps, reached, ap):
    """AP (T,) of one category in resample ``s`` into ``ap``; ``steps`` and ``reached`` are overwritten."""
    right, wrong = np.zeros(T, np.float64), np.zeros(T, np.float64)
    n = 0
    for k in range(len(hits)):
        weight = float(copies[k, s])
        if weight == 0:
            continue
        others = float(alone[k, s])
        for t in range(T):
            right[t] += weight * (hits[k] >> t & 1)
            wrong[t] += weight * (misses[k] >> t & 1)
            steps[n, t] = right[t] / ((wrong[t] + others) + right[t] + EPSILON)
        for t in range(T):
            reached[n, t] = reach[int(right[t])]
        n += 1
    best, total = np.zeros(T, np.float64), np.zeros(T, np.float64)
    for k in range(n - 1, -1, -1):
        for t in range(T):
            best[t] = max(best[t], steps[k, t])
            earlier = reached[k - 1, t] if k > 0 else 0
            total[t] += best[t] * (reached[k, t] - earlier)
    for t in range(T):
        ap[t] = total[t] / K
