"""What kinds of error cost how much AP50: TIDE (arXiv 2008.08115) on LVIS's federated rules.

Only detections that LVIS judges can be errors: those of categories that are annotated in the image or
verified absent there, that match nothing at an IoU of 0.5 and are not ignored. Such a false positive has
one of five kinds, by its IoUs with the ground truth of its image; the first that fits counts:

1. duplicate: IoU of at least 0.5 with an instance of its own category, which another detection matches;
2. localisation: IoU of at least 0.1 with an instance of its own category;
3. classification: IoU of at least 0.5 with an instance of another category;
4. both: IoU of at least 0.1 with an instance of another category;
5. background: none of these.

A ground truth instance is missed if no detection matches it and no false positive of kind 2 or 3 has its
largest IoU with it. TIDE tests for localisation first; we test for duplicates first, so that a detection
which overlaps an instance of another category too is still a duplicate.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.columns import Columns
from lvistk.evaluation.ground_truth.arrays import GroundTruth
from lvistk.evaluation.metrics import average
from lvistk.evaluation.ranges import RECALL_THRESHOLDS
from lvistk.evaluation.scoring import Score

FOREGROUND, BACKGROUND = 0.5, 0.1
"""Least IoU of a match, and least IoU with a ground truth instance that counts at all (TIDE's defaults)."""
GROUPS = ("r", "c", "f")
"""Frequencies, in the order of ``Errors.named``."""
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, NO_GT, MISSED = range(6)
RIGHT = -1


class ErrorKind(NamedTuple):
    """One kind of error.

    name: one of KINDS
    count: errors of this kind
    gain: what AP50 would gain without them, in 0 to 1; None if AP50 is undefined
    """

    name: str
    count: int
    gain: float | None


class Errors(NamedTuple):
    """The errors of an evaluation with D judged detections and G ground truth instances.

    ap50: with all errors, 0 to 1; None if it is undefined
    kinds: the six kinds, in the order of KINDS
    rows: (D,) row of each judged detection in the input, by category, best first
    kind: (D,) int8 index into KINDS, or RIGHT
    missed: (G,) bool
    named: (3, 5) int64, by frequency of an instance's category (GROUPS) how many instances the best detection
        on them (IoU of at least 0.5) calls by their own name, by that of another rare, common, frequent
        category, and how many have none; zeros where categories have no frequency
    """

    ap50: float | None
    kinds: tuple[ErrorKind, ...]
    rows: np.ndarray
    kind: np.ndarray
    missed: np.ndarray
    named: np.ndarray


class _Judged(NamedTuple):
    """D judged detections that count, by category, best first.

    category, image: (D,) row in the ground truth's tables
    score: (D,)
    row: (D,) in the input
    right: (D,) bool, whether it is a true positive
    """

    category: np.ndarray
    score: np.ndarray
    image: np.ndarray
    row: np.ndarray
    right: np.ndarray


def analyse(
    score: Score,
    table: Columns,
    *,
    ranked_by: np.ndarray,
    nearest: np.ndarray,
    gt: GroundTruth,
) -> Errors:
    """The errors of an evaluation of N detections.

    score: the evaluation's table of masks or of boxes
    table: columns (N,) of the detections
    ranked_by: (N,) scores that they are ranked by
    nearest: (N,) the most similar ground truth instances of the same and of another category
    gt: the ground truth

    The gain of a kind is measured by mending this kind alone: duplicate, background and both are removed;
    a classification or localisation error becomes a true positive if its instance is unmatched, best score
    first, and is removed otherwise; missed instances no longer count. A category of which all instances are
    missed then has an AP of 1 (TIDE does not say).
    """
    judged = _judged(score, table, ranked_by, gt)
    counts = score.gt_counts[:, 0]
    near = nearest[judged.row]
    kind = _kinds(judged.right, near)
    target = np.where(kind == LOCALISATION, near["same"], near["other"])
    counted = (score.gt_out & 1) == 0
    free = counted & ((score.matches.matched & 1) == 0)
    covered = np.zeros(len(free), bool)
    covered[target[(kind == CLASSIFICATION) | (kind == LOCALISATION)]] = True
    missed = free & ~covered
    now = mean_ap50(judged.category, judged.right, counts)
    gains = []
    for number in range(MISSED):
        mended = _mend(judged, kind, number, target=target, free=free, gt=gt)
        gains.append(_gain(mean_ap50(mended.category, mended.right, counts), now))
    left = counts - np.bincount(gt.gt_categories[missed], minlength=len(counts))
    after = ap50(judged.category, judged.right, left)
    after[(counts > 0) & (left == 0)] = 1.0
    gains.append(_gain(average(after), now))
    sizes = [*(int((kind == number).sum()) for number in range(MISSED)), int(missed.sum())]
    kinds = tuple(ErrorKind(*one) for one in zip(KINDS, sizes, gains, strict=True))
    named = _named(judged, near, counted, gt)
    return Errors(now, kinds, judged.row, kind, missed, named)


def ap50(category: np.ndarray, right: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AP (C,) of each category at one IoU threshold, as in lvis-api.

    category: (D,) ascending; the detections of a category come best score first
    right: (D,) bool, whether it is a true positive
    counts: (C,) ground truth instances; 0 gives NaN
    """
    values = np.full(len(counts), np.nan)
    first = np.searchsorted(category, np.arange(len(counts) + 1))
    for c in np.flatnonzero(counts > 0).tolist():
        ranks = np.flatnonzero(right[first[c] : first[c + 1]])
        if not len(ranks):
            values[c] = 0.0
            continue
        hits = np.arange(1, len(ranks) + 1)
        precision = np.maximum.accumulate((hits / (ranks + 1.0 + np.spacing(1)))[::-1])[::-1]
        reached = np.searchsorted(hits / counts[c], RECALL_THRESHOLDS, side="left")
        values[c] = np.append(precision, 0.0)[reached].mean()
    return values


def mean_ap50(category: np.ndarray, right: np.ndarray, counts: np.ndarray) -> float | None:
    return average(ap50(category, right, counts))


def _judged(score: Score, table: Columns, ranked_by: np.ndarray, gt: GroundTruth) -> _Judged:
    """The detections that are right or wrong at an IoU of 0.5, without those that are ignored."""
    rows = score.ranking.order
    in_matches = score.matches.rows[rows]
    paired = in_matches >= 0
    bits = np.zeros((2, len(rows)), bool)
    for k, flags in enumerate((score.matches.hits, score.matches.misses)):
        bits[k, paired] = flags[in_matches[paired], 0] & 1 != 0
    out = (table.box_out if score.kind == "bbox" else table.mask_out)[rows]
    alone = ~paired & ~gt.arrays.slot_open[table.slot[rows]] & (out & 1 == 0)
    counts = bits[0] | bits[1] | alone
    rows = rows[counts]
    return _Judged(
        category=table.category[rows],
        score=ranked_by[rows],
        image=table.image[rows],
        row=rows,
        right=bits[0][counts],
    )


def _named(judged: _Judged, near: np.ndarray, counted: np.ndarray, gt: GroundTruth) -> np.ndarray:
    """``Errors.named``; ``counted`` (G,) bool, the instances that take part."""
    columns = len(GROUPS) + 2
    if not np.isin(gt.frequency, GROUPS).all():
        return np.zeros((len(GROUPS), columns), np.int64)
    group = np.array([GROUPS.index(letter) for letter in gt.frequency], np.int64)
    own, other = near["same_iou"] >= FOREGROUND, near["other_iou"] >= FOREGROUND
    target = np.concatenate([near["same"][own], near["other"][other]])
    score = np.concatenate([judged.score[own], judged.score[other]])
    name = np.concatenate([np.zeros(own.sum(), np.int64), 1 + group[judged.category[other]]])
    order = np.lexsort((name, -score, target))
    instance, first = np.unique(target[order], return_index=True)
    called = np.full(len(counted), columns - 1)  # (G,) column of each instance; the last is none
    called[instance] = name[order][first]
    cells = (columns * group[gt.gt_categories] + called)[counted]
    return np.bincount(cells, minlength=len(GROUPS) * columns).reshape(len(GROUPS), columns)


def _kinds(right: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(D,) int8 index into KINDS, RIGHT for true positives."""
    same, other = near["same_iou"], near["other_iou"]
    choices = [right, same >= FOREGROUND, same >= BACKGROUND, other >= FOREGROUND]
    values = [RIGHT, DUPLICATE, LOCALISATION, CLASSIFICATION]
    rest = np.where(other >= BACKGROUND, BOTH, NO_GT)
    return np.select(choices, values, default=rest).astype(np.int8)


def _mend(
    judged: _Judged,
    kind: np.ndarray,
    number: int,
    *,
    target: np.ndarray,
    free: np.ndarray,
    gt: GroundTruth,
) -> _Judged:
    """The judged detections without errors of one kind, by category, best first."""
    wrong = kind == number
    kept = ~wrong
    right, category = judged.right.copy(), judged.category.copy()
    if number in (CLASSIFICATION, LOCALISATION):
        candidates = np.flatnonzero(wrong & free[target])
        by_score = candidates[np.argsort(-judged.score[candidates], kind="stable")]
        _, best = np.unique(target[by_score], return_index=True)
        winners = by_score[best]
        kept[winners] = right[winners] = True
        category[winners] = gt.gt_categories[target[winners]]
    moved = judged._replace(category=category, right=right)
    kept_rows = np.flatnonzero(kept)
    if number not in (CLASSIFICATION, LOCALISATION):  # the order stays
        return _Judged(*(column[kept_rows] for column in moved))
    keys = (judged.row, judged.image, -judged.score, category)
    order = kept_rows[np.lexsort([key[kept_rows] for key in keys])]
    return _Judged(*(column[order] for column in moved))


def _gain(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
