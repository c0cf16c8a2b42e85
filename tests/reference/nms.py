"""Slow twins of class-wise NMS, Soft-NMS and the merging of views: plain loops over lists."""

import math


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union


def by_score(scores, indices):
    return sorted(indices, key=lambda i: (-scores[i], i))


def nms(boxes, scores, labels, threshold):
    kept = []
    for i in by_score(scores, range(len(scores))):
        rivals = [j for j in kept if labels[j] == labels[i]]
        if all(iou(boxes[i], boxes[j]) <= threshold for j in rivals):
            kept.append(i)
    return kept


def soft_nms(boxes, scores, labels, *, method, sigma, threshold, min_score):
    """(index, final score) of every candidate taken, in any order."""
    taken = []
    for label in set(labels):
        rest = {i: scores[i] for i in range(len(scores)) if labels[i] == label}
        while rest:
            best = by_score(rest, rest)[0]
            score = rest.pop(best)
            if score < min_score:
                break
            taken.append((best, score))
            for i in rest:
                overlap = iou(boxes[best], boxes[i])
                if method == "gaussian":
                    rest[i] *= math.exp(-(overlap**2) / sigma)
                elif overlap >= threshold:
                    rest[i] *= 1 - overlap
    return taken


def select(boxes, scores, labels, *, nms_iou, limit, method, sigma, soft_iou, min_score):
    kept = nms(boxes, scores, labels, nms_iou)
    if method == "none":
        return [(i, scores[i]) for i in kept if scores[i] >= min_score][:limit]
    taken = soft_nms(
        [boxes[i] for i in kept],
        [scores[i] for i in kept],
        [labels[i] for i in kept],
        method=method,
        sigma=sigma,
        threshold=soft_iou,
        min_score=min_score,
    )
    final = [(kept[i], score) for i, score in taken]
    return sorted(final, key=lambda pair: (-pair[1], pair[0]))[:limit]


def merge(views, *, factors, limit, **settings):
    """``views``: a list of (boxes, scores, labels); all are scaled, joined and selected from."""
    boxes = [box for view in views for box in view[0]]
    labels = [label for view in views for label in view[2]]
    scores = [score for view in views for score in view[1]]
    scores = [score * factors[label] for score, label in zip(scores, labels, strict=True)]
    return select(boxes, scores, labels, limit=limit, **settings)
