"""Kinds of error and what each costs, by plain loops over a few boxes, from the definitions."""


def iou(a, b):
    x, y, w, h = a
    u, v, s, t = b
    wide = min(x + w, u + s) - max(x, u)
    high = min(y + h, v + t) - max(y, v)
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (w * h + s * t - wide * high)


def average_precision(flags, gts):
    """``flags``: (score, right) of one category, in the order of the input."""
    ordered = sorted(flags, key=lambda flag: -flag[0])
    points, right = [], 0
    for k, (_, good) in enumerate(ordered):
        right += good
        points.append((right / gts, right / (k + 1)))
    total = 0.0
    for j in range(101):
        above = [precision for reached, precision in points if reached >= j / 100 - 1e-12]
        total += max(above, default=0.0)
    return total / 101


def mean_ap(entries, counts, *, emptied=()):
    """``entries``: (category, score, right); ``counts``: ground truth instances by category."""
    values = [1.0 for _ in emptied]
    for category, number in counts.items():
        if number:
            flags = [(score, right) for c, score, right in entries if c == category]
            values.append(average_precision(flags, number))
    return sum(values) / len(values) if values else None


def error_kinds(gts, detections, *, negative, not_exhaustive):
    """``{kind: (count, gain)}``.

    ground truth instances: (image, category, box); detections: (image, category, score, box)
    with distinct scores;
    negative and not_exhaustive: sets of (image, category).
    """
    positive = {(image, category) for image, category, _ in gts}
    judged = [d for d in detections if (d[0], d[1]) in positive | set(negative)]
    judged.sort(key=lambda d: -d[2])
    taken, state = {}, []
    for image, category, _, box in judged:
        best, least = None, 0.5
        for g, gt in enumerate(gts):
            if gt[:2] == (image, category) and g not in taken and iou(box, gt[2]) >= least:
                best, least = g, iou(box, gt[2])
        if best is not None:
            taken[best] = True
            state.append(("right", None))
        elif (image, category) in not_exhaustive:
            state.append(("excused", None))
        else:
            state.append(_kind(image, category, box, gts))
    counts = {}
    for _, category, _ in gts:
        counts[category] = counts.get(category, 0) + 1
    plain = [
        (d[1], d[2], kind == "right")
        for d, (kind, _) in zip(judged, state, strict=True)
        if kind != "excused"
    ]
    now = mean_ap(plain, counts)
    found = {}
    for name in ("classification", "localisation", "both", "duplicate", "background"):
        entries, fixed = [], set()
        for d, (kind, g) in zip(judged, state, strict=True):  # best score first
            if kind == "excused":
                continue
            if kind != name:
                entries.append((d[1], d[2], kind == "right"))
            elif name in ("classification", "localisation") and g not in taken and g not in fixed:
                fixed.add(g)
                entries.append((gts[g][1], d[2], True))
        found[name] = (sum(kind == name for kind, _ in state), mean_ap(entries, counts) - now)
    covered = {g for kind, g in state if kind in ("classification", "localisation")}
    missed = [g for g in range(len(gts)) if g not in taken and g not in covered]
    left = dict(counts)
    for g in missed:
        left[gts[g][1]] -= 1
    emptied = [c for c, number in left.items() if number == 0]
    found["missed"] = (len(missed), mean_ap(plain, left, emptied=emptied) - now)
    return now, found


def _kind(image, category, box, gts):
    same, other = (0.0, None), (0.0, None)
    for g, (where, what, place) in enumerate(gts):
        if where != image:
            continue
        overlap = iou(box, place)
        if what == category and overlap > same[0]:
            same = (overlap, g)
        if what != category and overlap > other[0]:
            other = (overlap, g)
    if same[0] >= 0.5:
        return "duplicate", None
    if same[0] >= 0.1:
        return "localisation", same[1]
    if other[0] >= 0.5:
        return "classification", other[1]
    return ("both", None) if other[0] >= 0.1 else ("background", None)
