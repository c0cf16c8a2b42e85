"""Scores of resampled photos, accumulated anew from what became of each detection; nothing is matched twice.

A photo that is drawn w times counts as w photos. Copies of a detection have the same score, so the
precision at the last of w true positives is the highest among them; taking them as one step of w
therefore gives exactly what an evaluation of the copied photos would.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.columns import Columns
from lvistk.evaluation.curves import EPSILON
from lvistk.evaluation.jit import kernel
from lvistk.evaluation.ranges import IOU_THRESHOLDS, RECALL_THRESHOLDS
from lvistk.evaluation.scoring import Score
from lvistk.evaluation.truth import Truth

T, K = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS)
ALL_THRESHOLDS = np.uint16((1 << T) - 1)


class Outcomes(NamedTuple):
    """What became of the D detections that count somewhere, category by category, best score first.

    8 bytes a detection: ``images (D,)`` int32; ``hits``, ``misses (D,)`` uint16, bit t for IoU threshold t.
    Category c has first[c]:first[c + 1]. The G truths that count lie in ``truth_images``, of
    ``truth_categories``.
    """

    images: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    first: np.ndarray
    truth_images: np.ndarray
    truth_categories: np.ndarray


def outcomes(score: Score, table: Columns, truth: Truth) -> Outcomes:
    """Outcomes behind ``score`` in the range of all areas; ``table`` are its detections."""
    rows = score.ranking.order
    place = score.matches.rows[rows]
    paired = place >= 0
    out = (table.box_out if score.kind == "bbox" else table.mask_out)[rows]
    counts_alone = ~paired & ~truth.arrays.slot_open[table.slot[rows]] & (out & 1 == 0)
    hits = np.zeros(len(rows), np.uint16)
    misses = np.where(counts_alone, ALL_THRESHOLDS, 0).astype(np.uint16)
    hits[paired] = score.matches.hits[place[paired], 0]
    misses[paired] = score.matches.misses[place[paired], 0]
    kept = (hits | misses) != 0
    before = np.concatenate([[0], np.cumsum(kept)])
    counted = score.truth_out & 1 == 0
    return Outcomes(
        images=table.image[rows][kept],
        hits=hits[kept],
        misses=misses[kept],
        first=before[score.ranking.first],
        truth_images=truth.truth_images[counted],
        truth_categories=truth.truth_categories[counted].astype(np.int64),
    )


def resampled_ap(found: Outcomes, weights: np.ndarray) -> np.ndarray:
    """AP (C, T) float64 of each category at each IoU threshold with photos counted ``weights (I,)`` int64
    times; NaN where no truth is left."""
    return _resampled_ap(*found, weights)


def draw_photos(count: int, *, seed: int, sample: int) -> np.ndarray:
    """How often each of ``count`` photos is drawn, (count,) int64, with replacement, in all ``count`` times.

    A function of seed and sample, whatever the order in which samples are made.
    """
    generator = np.random.default_rng([seed, sample])
    return np.bincount(generator.integers(0, count, count), minlength=count)


@kernel
def _resampled_ap(images, hits, misses, first, truth_images, truth_categories, weights):
    categories = len(first) - 1
    truths = np.zeros(categories, np.int64)
    for g in range(len(truth_images)):
        truths[truth_categories[g]] += weights[truth_images[g]]
    longest = 0
    for c in range(categories):
        longest = max(longest, first[c + 1] - first[c])
    rights = np.empty((T, longest), np.int64)
    steps = np.empty((T, longest), np.float64)
    found = np.full((categories, T), np.nan)
    for c in range(categories):
        if truths[c] == 0:
            continue
        number = np.zeros(T, np.int64)
        right = np.zeros(T, np.int64)
        wrong = np.zeros(T, np.int64)
        alone = 0  # wrong at every threshold
        for k in range(first[c], first[c + 1]):
            weight = weights[images[k]]
            if weight == 0:
                continue
            if misses[k] == ALL_THRESHOLDS:
                alone += weight
                continue
            for t in range(T):
                if (hits[k] >> t) & 1 != 0:
                    right[t] += weight
                    tp = float(right[t])
                    rights[t, number[t]] = right[t]
                    steps[t, number[t]] = tp / (float(wrong[t] + alone) + tp + EPSILON)
                    number[t] += 1
                elif (misses[k] >> t) & 1 != 0:
                    wrong[t] += weight
        for t in range(T):
            n = number[t]
            for k in range(n - 1, 0, -1):
                steps[t, k - 1] = max(steps[t, k - 1], steps[t, k])
            k = 0
            total = 0.0
            for j in range(K):
                while k < n and rights[t, k] / truths[c] < RECALL_THRESHOLDS[j]:
                    k += 1
                if k == n:
                    break
                total += steps[t, k]
            found[c, t] = total / K
    return found
