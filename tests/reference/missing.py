"""Missing annotations with plain loops, from the paper's words (section 2.3)."""


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return inter / (area - inter)


def missing(boxes, scores, labels, gt, *, score, max_iou, lists=None):
    """Places of the detections kept; ``lists``: negative, positive, not exhaustive labels."""
    kept = []
    for place, box in enumerate(boxes):
        if scores[place] < score:
            continue
        if any(iou(box, other) > max_iou for other in gt):
            continue
        if lists is not None:
            negative, positive, not_exhaustive = lists
            label = labels[place]
            if label in negative:
                continue
            if label in positive and label not in not_exhaustive:
                continue
        kept.append(place)
    return kept
