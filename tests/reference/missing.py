"""Missing annotations with plain loops, from the paper's words (section 2.3) and the settings' meanings."""


def intersection(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def area(a):
    return (a[2] - a[0]) * (a[3] - a[1])


def missing(
    boxes,
    scores,
    labels,
    annotations,
    *,
    lists,
    federated,
    score,
    max_iou,
    max_iof=1.0,
    not_exhaustive_score=None,
    other_iou=None,
    other_score=0.0,
):
    """Indices of the detections kept. annotations: pairs of box and label. lists: negative and not exhaustive
    labels."""
    negative, not_exhaustive = lists
    positive = [label for _, label in annotations]
    kept = []
    for index, box in enumerate(boxes):
        label = labels[index]
        wanted = score
        if federated and not_exhaustive_score is not None and label in not_exhaustive:
            wanted = not_exhaustive_score
        explained = False
        for other, its_label in annotations:
            inter = intersection(box, other)
            if inter == 0:
                continue
            iou = inter / (area(box) + area(other) - inter)
            if inter / area(box) > max_iof:
                explained = True
            if iou > max_iou:
                if its_label == label or other_iou is None or iou > other_iou:
                    explained = True
                else:
                    wanted = max(wanted, other_score)
        if explained or scores[index] < wanted:
            continue
        if federated and (label in negative or (label in positive and label not in not_exhaustive)):
            continue
        kept.append(index)
    return kept
