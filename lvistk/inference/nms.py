"""Class-wise NMS and Soft-NMS, best detections first, as far as they are wanted and no further.

The wanted detections are the best ``limit`` of all categories, so most candidates never matter. They are
sorted into categories in one pass. A category is sorted by score only when its turn comes, and a candidate
of it takes part only when no better one is left: scores only fall, so the first score of a candidate bounds
its last. The result is exactly that of running every category to its end and sorting.
"""

from typing import NamedTuple

import numpy as np

from lvistk.jit import kernel

NONE, LINEAR, GAUSSIAN = 0, 1, 2
METHODS = {"none": NONE, "linear": LINEAR, "gaussian": GAUSSIAN}


def select_best(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    nms_iou: float,
    limit: int,
    soft: str = "none",
    sigma: float = 0.5,
    soft_iou: float = 0.3,
    min_score: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (K,) int64 and scores (K,) float32 of the best ``limit`` candidates after NMS.

    ``boxes`` (N, 4) float32 xyxy, ``scores`` (N,) float32, ``labels`` (N,) integers from 0.

    1. NMS in each category: a candidate goes when its IoU with a better kept one is above ``nms_iou``.
    2. Soft-NMS among what is left (Bodla et al. 2017): the best is taken, and the scores of the rest of
       its category shrink by ``exp(-IoU^2 / sigma)`` (``gaussian``) or by ``1 - IoU`` where IoU is at
       least ``soft_iou`` (``linear``); and again, until none has ``min_score``. This order, hard first,
       is that of the paper's reference 13. ``none``: no second step.

    Of equal scores the earlier candidate comes first. N = 0 gives empty arrays.
    """
    number = int(labels.max()) + 1 if len(labels) else 0
    keep, final = _select(
        np.ascontiguousarray(boxes, np.float32),
        np.ascontiguousarray(scores, np.float32),
        np.ascontiguousarray(labels, np.int32),
        number,
        limit,
        Rule(np.float32(nms_iou), METHODS[soft], sigma, soft_iou, min_score),
    )
    return keep, final


def nms(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float) -> np.ndarray:
    """Indices (K,) of all candidates that class-wise NMS keeps, best first."""
    return select_best(boxes, scores, labels, nms_iou=iou, limit=len(scores))[0]


@kernel
def _iou(boxes: np.ndarray, i: int, j: int) -> np.float32:
    """IoU in float32, rounded as torchvision's; 0 for boxes without area."""
    width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
    height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
    if width <= 0 or height <= 0:
        return np.float32(0)
    inter = width * height
    area_i = (boxes[i, 2] - boxes[i, 0]) * (boxes[i, 3] - boxes[i, 1])
    area_j = (boxes[j, 2] - boxes[j, 0]) * (boxes[j, 3] - boxes[j, 1])
    return inter / (area_i + area_j - inter)


@kernel
def _weight(iou: np.float32, method: int, sigma: float, soft: float) -> float:
    """What Soft-NMS multiplies a score with when a better candidate of this IoU is taken."""
    if method == GAUSSIAN:
        return np.exp(-(np.float64(iou) ** 2) / sigma)
    if method == LINEAR:
        return 1.0 - np.float64(iou) if iou >= soft else 1.0
    return 1.0


class Rule(NamedTuple):
    """How candidates suppress others, as in ``select_best``."""

    nms_iou: np.float32
    method: int
    sigma: float
    soft_iou: float
    min_score: float


class Queues(NamedTuple):
    """The candidates of all categories, those of category c at ``start[c]:start[c + 1]`` of each (N,).

    Behind ``start[c]`` lie the candidates that hard NMS kept so far, and the indices of those taken.
    """

    start: np.ndarray
    """(C + 1,)"""
    members: np.ndarray
    """indices of the candidates; from ``examined[c]`` on by falling score once the category was touched"""
    scores: np.ndarray
    """their scores before Soft-NMS"""
    kept: np.ndarray
    """indices of the candidates that hard NMS kept, ``kept_count[c]`` of them"""
    current: np.ndarray
    """scores of these now; OUT for those that are taken or fell below ``min_score``"""
    taken: np.ndarray
    """indices of the candidates that were taken, in that order, ``taken_count[c]`` of them"""
    examined: np.ndarray
    """(C,) candidates that took part so far; -1 for a category that was not touched"""
    kept_count: np.ndarray
    """(C,)"""
    taken_count: np.ndarray
    """(C,)"""


OUT, SUPPRESSED = -1.0, -2.0
"""In place of a score. What fell below the lowest score still suppresses others, since hard NMS is first."""


@kernel
def _by_label(scores: np.ndarray, labels: np.ndarray, number: int):
    """Candidates sorted by label: ``start`` (number + 1,), members and their scores (N,)."""
    start = np.zeros(number + 1, np.int64)
    for label in labels:
        start[label + 1] += 1
    for label in range(number):
        start[label + 1] += start[label]
    fill = start[:number].copy()
    members = np.empty(len(labels), np.int64)
    sorted_scores = np.empty(len(labels), np.float64)
    for index in range(len(labels)):
        slot = fill[labels[index]]
        members[slot] = index
        sorted_scores[slot] = scores[index]
        fill[labels[index]] = slot + 1
    return start, members, sorted_scores


@kernel
def _best(members: np.ndarray, scores: np.ndarray) -> int:
    """Offset of the highest score, of the earliest candidate among equal ones; -1 where all are OUT."""
    best = -1
    for k in range(len(members)):
        if scores[k] == OUT:
            continue
        if (
            best < 0
            or scores[k] > scores[best]
            or (scores[k] == scores[best] and members[k] < members[best])
        ):
            best = k
    return best


@kernel
def _admit(boxes, candidate, score, kept, taken, rule):
    """Score of a candidate after hard NMS against ``kept`` and Soft-NMS against ``taken``: SUPPRESSED by
    the first, or OUT, below the lowest score, by the second."""
    for k in range(len(kept)):
        if _iou(boxes, kept[k], candidate) > rule.nms_iou:
            return SUPPRESSED
    for k in range(len(taken)):
        weight = _weight(_iou(boxes, taken[k], candidate), rule.method, rule.sigma, rule.soft_iou)
        score *= weight
        if weight <= 0.0 or score < rule.min_score:
            return OUT
    return score


@kernel
def _advance(queues, boxes, label, rule):
    """Let candidates of a category take part until none that waits can be better: offset of its best among
    those kept, -1 for none."""
    first, last = queues.start[label], queues.start[label + 1]
    if queues.examined[label] < 0:
        queues.examined[label] = 0
        order = np.argsort(-queues.scores[first:last], kind="mergesort")
        queues.members[first:last] = queues.members[first:last][order]
        queues.scores[first:last] = queues.scores[first:last][order]
    kept, current = queues.kept[first:last], queues.current[first:last]
    taken = queues.taken[first : first + queues.taken_count[label]]
    count = queues.kept_count[label]
    best = _best(kept[:count], current[:count])
    while first + queues.examined[label] < last:
        following = first + queues.examined[label]
        candidate, score = queues.members[following], queues.scores[following]
        if best >= 0 and (
            current[best] > score or (current[best] == score and kept[best] < candidate)
        ):
            break
        queues.examined[label] += 1
        score = _admit(boxes, candidate, score, kept[:count], taken, rule)
        if score == SUPPRESSED:
            continue
        kept[count] = candidate
        current[count] = score
        count += 1
        best = _best(kept[:count], current[:count])
    queues.kept_count[label] = count
    return best


@kernel
def _take(queues, boxes, label, best, rule):
    """Take the candidate at ``best`` of those kept, and lower the scores of the others."""
    first = queues.start[label]
    index = queues.kept[first + best]
    queues.current[first + best] = OUT
    queues.taken[first + queues.taken_count[label]] = index
    queues.taken_count[label] += 1
    for k in range(first, first + queues.kept_count[label]):
        if queues.current[k] == OUT:
            continue
        iou = _iou(boxes, index, queues.kept[k])
        weight = _weight(iou, rule.method, rule.sigma, rule.soft_iou)
        score = queues.current[k] * weight
        queues.current[k] = score if weight > 0.0 and score >= rule.min_score else OUT


@kernel
def _select(boxes, scores, labels, number, limit, rule):  # -> (K,) int64, (K,) float32
    start, members, sorted_scores = _by_label(scores, labels, number)
    queues = Queues(
        start,
        members,
        sorted_scores,
        np.empty(len(scores), np.int64),
        np.empty(len(scores), np.float64),
        np.empty(len(scores), np.int64),
        np.full(number, -1, np.int64),
        np.zeros(number, np.int64),
        np.zeros(number, np.int64),
    )
    bound = np.full(number, OUT)  # no candidate of the category is better than this one
    leader = np.zeros(number, np.int64)
    best = np.full(number, -1, np.int64)  # it is that one among those kept; -1: not yet known
    for label in range(number):
        first, last = start[label], start[label + 1]
        k = _best(members[first:last], sorted_scores[first:last])
        if k >= 0:
            bound[label], leader[label] = sorted_scores[first + k], members[first + k]
    limit = min(limit, len(scores))
    keep = np.empty(limit, np.int64)
    final = np.empty(limit, np.float32)
    count = 0
    while count < limit:
        label = _best(leader, bound)
        if label < 0 or bound[label] < rule.min_score:
            break
        if best[label] >= 0:
            keep[count], final[count] = leader[label], bound[label]
            count += 1
            _take(queues, boxes, label, best[label], rule)
        k = best[label] = _advance(queues, boxes, label, rule)
        bound[label] = OUT if k < 0 else queues.current[start[label] + k]
        leader[label] = 0 if k < 0 else queues.kept[start[label] + k]
    return keep[:count], final[:count]
