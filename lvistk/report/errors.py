"""What kinds of error cost how much AP50: TIDE (arXiv 2008.08115) on LVIS's federated rules.

Only what LVIS judges can be an error: detections of categories that are annotated in the image or
verified absent, unmatched at an IoU of 0.5 and not excused. A false positive is, with IoUs to the
ground truth instances of
its own category and to all others of its image,

1. duplicate: at least 0.5 with its own category (such a ground truth instance has another
detection already);
2. localisation: at least 0.1 with its own category;
3. classification: at least 0.5 with another category;
4. both: at least 0.1 with another category;
5. background: none of these.

A ground truth instance is missed if nothing matches it and no false positive of kind 2 or 3
lies on it. TIDE asks for
localisation first; that a duplicate is one even where it overlaps another category, too, is ours.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.columns import Columns
from lvistk.evaluation.ground_truth.arrays import GroundTruth
from lvistk.evaluation.metrics import average
from lvistk.evaluation.ranges import RECALL_THRESHOLDS
from lvistk.evaluation.scoring import Score

FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU of a match, and the least IoU of any relation to a ground truth instance (TIDE's defaults)."""
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, NO_GT, MISSED = range(6)
RIGHT = -1


class ErrorKind(NamedTuple):
    """``count`` errors; without them AP50 would be higher by ``gain`` (None where AP is undefined)."""

    name: str
    count: int
    gain: float | None


class Errors(NamedTuple):
    """``ap50`` as it is, the six kinds, and D judged detections, best of each category first.

    ``rows (D,)`` of the input; ``kind (D,)`` int8 index into KINDS, or RIGHT; ``missed (G,)`` bool.
    """

    ap50: float | None
    kinds: tuple[ErrorKind, ...]
    rows: np.ndarray
    kind: np.ndarray
    missed: np.ndarray


class _Judged(NamedTuple):
    """Judged detections that count: category, score, image, row of the input, and whether right."""

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
    """The errors behind ``score``; ``ranked_by`` (scores), ``nearest`` and the columns of ``table``
    are (N,).

    Each kind is mended alone, as an oracle would: a duplicate, a background and a both goes away; a
    classification or localisation error becomes right if its ground truth is still free, best score
    first, and
    goes away else; a missed ground truth no longer counts. A category all of whose ground truth
    instances are missed counts
    as 1 then (TIDE leaves it open).
    """
    judged = _judged(score, table, ranked_by, gt)
    counts = score.gt_counts[:, 0]
    near = nearest[judged.row]
    kind = _kinds(judged.right, near)
    target = np.where(kind == LOCALISATION, near["same"], near["other"])
    counted = (score.gt_out & 1) == 0
    free = counted & ((score.matches.found & 1) == 0)
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
    return Errors(now, kinds, judged.row, kind, missed)


def ap50(category: np.ndarray, right: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AP (C,) of each category at one threshold, as lvis-api; NaN where ``counts (C,)`` is 0.

    ``category (D,)`` ascending, each best score first; ``right (D,)`` whether it is a true positive.
    """
    found = np.full(len(counts), np.nan)
    first = np.searchsorted(category, np.arange(len(counts) + 1))
    for c in np.flatnonzero(counts > 0).tolist():
        places = np.flatnonzero(right[first[c] : first[c + 1]])
        if not len(places):
            found[c] = 0.0
            continue
        hits = np.arange(1, len(places) + 1)
        precision = np.maximum.accumulate((hits / (places + 1.0 + np.spacing(1)))[::-1])[::-1]
        reached = np.searchsorted(hits / counts[c], RECALL_THRESHOLDS, side="left")
        found[c] = np.append(precision, 0.0)[reached].mean()
    return found


def mean_ap50(category: np.ndarray, right: np.ndarray, counts: np.ndarray) -> float | None:
    return average(ap50(category, right, counts))


def _judged(score: Score, table: Columns, ranked_by: np.ndarray, gt: GroundTruth) -> _Judged:
    """The detections that are right or wrong at the lowest threshold, without the excused ones."""
    rows = score.ranking.order
    place = score.matches.rows[rows]
    paired = place >= 0
    bits = np.zeros((2, len(rows)), bool)
    for k, flags in enumerate((score.matches.hits, score.matches.misses)):
        bits[k, paired] = flags[place[paired], 0] & 1 != 0
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


def _kinds(right: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(D,) int8 kinds; RIGHT for what is."""
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
    """The judged detections without errors of one kind, in order."""
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
    if number not in (CLASSIFICATION, LOCALISATION):  # nothing changes its place
        return _Judged(*(column[kept_rows] for column in moved))
    keys = (judged.row, judged.image, -judged.score, category)
    order = kept_rows[np.lexsort([key[kept_rows] for key in keys])]
    return _Judged(*(column[order] for column in moved))


def _gain(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
