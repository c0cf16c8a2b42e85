"""Class-wise NMS and Soft-NMS, best detections first, as far as they are wanted and no further.

The wanted detections are the best ``limit`` of all categories, so most candidates never matter: they are
sorted into categories in one pass, and a category is looked at only when its best candidate's turn comes.
No N x N matrix is made. The result is exactly that of running every category to its end and sorting.
"""

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
        np.float32(nms_iou),
        limit,
        METHODS[soft],
        sigma,
        soft_iou,
        min_score,
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
def _weight(iou: np.float32, method: int, nms_iou: np.float32, sigma: float, soft: float) -> float:
    """What a score is multiplied with when a better candidate of this IoU is taken."""
    if method == GAUSSIAN:
        return np.exp(-(np.float64(iou) ** 2) / sigma)
    if method == LINEAR:
        return 1.0 - np.float64(iou) if iou >= soft else 1.0
    return 0.0 if iou > nms_iou else 1.0


@kernel
def _hard(boxes: np.ndarray, members: np.ndarray, current: np.ndarray, nms_iou: np.float32) -> int:
    """NMS of one category in place; returns how many ``members`` (with ``current`` scores) are left."""
    order = np.argsort(-current, kind="mergesort")
    sorted_members, sorted_scores = members[order], current[order]
    kept = 0
    for k in range(len(sorted_members)):
        candidate = sorted_members[k]
        good = True
        for before in range(kept):
            if _iou(boxes, members[before], candidate) > nms_iou:
                good = False
                break
        if good:
            members[kept] = candidate
            current[kept] = sorted_scores[k]
            kept += 1
    return kept


@kernel
def _best(members: np.ndarray, current: np.ndarray) -> int:
    """Place of the highest score, of the earliest candidate among equal ones."""
    best = 0
    for k in range(1, len(members)):
        if current[k] > current[best] or (
            current[k] == current[best] and members[k] < members[best]
        ):
            best = k
    return best


@kernel
def _by_label(scores: np.ndarray, labels: np.ndarray, number: int):
    """Candidates sorted by label: row ``start`` (number + 1,), ``members`` and their scores (N,)."""
    start = np.zeros(number + 1, np.int64)
    for label in labels:
        start[label + 1] += 1
    for label in range(number):
        start[label + 1] += start[label]
    fill = start[:number].copy()
    members = np.empty(len(labels), np.int64)
    current = np.empty(len(labels), np.float64)
    for index in range(len(labels)):
        slot = fill[labels[index]]
        members[slot] = index
        current[slot] = scores[index]
        fill[labels[index]] = slot + 1
    return start, members, current


@kernel
def _select(
    boxes, scores, labels, number, nms_iou, limit, method, sigma, soft_iou, min_score
):  # -> (K,) int64, (K,) float32
    start, members, current = _by_label(scores, labels, number)
    left = start[1:] - start[:-1]  # candidates that are not taken or gone, at the category's front
    untouched = np.ones(number, np.bool_)
    best = np.zeros(number, np.int64)  # index of the best candidate within its category
    for label in range(number):
        first, last = start[label], start[label + 1]
        if last > first:
            best[label] = _best(members[first:last], current[first:last])
    limit = min(limit, len(scores))
    keep = np.empty(limit, np.int64)
    final = np.empty(limit, np.float32)
    taken = 0
    while taken < limit:
        label = -1
        for other in range(number):  # the category whose turn it is
            if left[other] == 0:
                continue
            here = start[other] + best[other]
            there = start[label] + best[label]
            if (
                label < 0
                or current[here] > current[there]
                or (current[here] == current[there] and members[here] < members[there])
            ):
                label = other
        if label < 0:
            break
        first = start[label]
        if untouched[label] and method != NONE:
            untouched[label] = False
            last = first + left[label]
            left[label] = _hard(boxes, members[first:last], current[first:last], nms_iou)
            best[label] = 0
        here = first + best[label]
        index = int(members[here])
        if current[here] < min_score:
            break
        keep[taken] = index
        final[taken] = current[here]
        taken += 1
        count = 0
        for k in range(first, first + left[label]):  # close the gaps and shrink the scores
            if k == here:
                continue
            weight = _weight(_iou(boxes, index, members[k]), method, nms_iou, sigma, soft_iou)
            if weight > 0.0 and current[k] * weight >= min_score:
                members[first + count] = members[k]
                current[first + count] = current[k] * weight
                count += 1
        left[label] = count
        if count > 0:
            best[label] = _best(members[first : first + count], current[first : first + count])
    return keep[:taken], final[:taken]
