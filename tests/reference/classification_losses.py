"""Slow twins of the classification losses, from the papers, with plain loops over floats.

Logits are lists of rows, labels a list of ints, background is C. Each returns a float.
"""

import math

Rows = list[list[float]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def bce(x: float, y: int) -> float:
    return -math.log(sigmoid(x) if y else 1 - sigmoid(x))


def mean(values: list[float], weights: list[float], normalizer: float | None) -> float:
    total = sum(value * weight for value, weight in zip(values, weights, strict=True))
    return total / max(len(values) if normalizer is None else normalizer, 1)


def softmax_loss(logits: Rows, labels: list[int], weights: list[float], n: float | None) -> float:
    values = [-math.log(softmax(row)[label]) for row, label in zip(logits, labels, strict=True)]
    return mean(values, weights, n)


def equalization_loss(
    logits: Rows,
    labels: list[int],
    tail: list[bool],
    negatives: list[list[bool]],
    weights: list[float],
    n: float | None,
) -> float:
    values = []
    for i, row in enumerate(logits):
        value = 0.0
        for j, x in enumerate(row):
            y = 1 if labels[i] == j else 0
            e = 1 if labels[i] < len(row) else 0
            t = 1 if tail[j] else 0
            w = 1 - e * t * (1 - y)
            if negatives[i][j] and y == 0:
                w = 1
            value += w * bce(x, y)
        values.append(value)
    return mean(values, weights, n)


def equalization_v2_step(
    logits: Rows, labels: list[int], ratio: list[float], weights: list[float], n: float | None
) -> tuple[float, list[float], list[float]]:
    """The loss, and the positive and negative gradient sums that the step adds."""
    num = len(ratio)
    positive, negative = [0.0] * num, [0.0] * num
    values = []
    for i, row in enumerate(logits):
        value = 0.0
        for j, x in enumerate(row):
            y = 1 if labels[i] == j else 0
            f = 1.0 if j == num else 1 / (1 + math.exp(-12 * (ratio[j] - 0.8)))
            w = 1 + 4 * (1 - f) if y else f
            value += w * bce(x, y)
            if j < num:
                sums = positive if y else negative
                sums[j] += weights[i] * w * abs(sigmoid(x) - y)
        values.append(value)
    return mean(values, weights, n), positive, negative


def seesaw_loss(
    logits: Rows, labels: list[int], counts: list[int], weights: list[float], n: float | None
) -> float:
    values = []
    for row, label in zip(logits, labels, strict=True):
        num = len(row) - 2
        objectness = softmax(row[num:])
        if label == num:
            values.append(-math.log(objectness[1]))
            continue
        scores = softmax(row[:num])
        total = 0.0
        for j in range(num):
            ratio = max(counts[j], 1) / max(counts[label], 1)
            m = ratio**0.8 if ratio < 1 else 1.0
            excess = scores[j] / max(scores[label], 0.01)
            c = excess**2 if excess > 1 else 1.0
            total += (1.0 if j == label else m * c) * math.exp(row[j])
        values.append(-math.log(objectness[0]) - math.log(math.exp(row[label]) / total))
    return mean(values, weights, n)


def federated_loss(
    logits: Rows, labels: list[int], chosen: list[bool], weights: list[float], n: float | None
) -> float:
    values = []
    for row, label in zip(logits, labels, strict=True):
        values.append(sum(bce(x, int(label == j)) for j, x in enumerate(row) if chosen[j]))
    return mean(values, weights, n)


def group_parts(row: list[float], groups: list[list[int]]) -> list[list[float]]:
    parts, start = [row[:2]], 2
    for group in groups:
        parts.append(row[start : start + len(group) + 1])
        start += len(group) + 1
    return parts


def group_softmax_loss(
    logits: Rows,
    labels: list[int],
    groups: list[list[int]],
    kept: list[list[bool]],
    weights: list[float],
) -> float:
    num = sum(len(group) for group in groups)
    loss = 0.0
    for g in range(len(groups) + 1):
        total, count = 0.0, 0
        for i, row in enumerate(logits):
            if not kept[g][i]:
                continue
            if g == 0:
                target = 0 if labels[i] == num else 1
            else:
                group = groups[g - 1]
                target = group.index(labels[i]) + 1 if labels[i] in group else 0
            total -= weights[i] * math.log(softmax(group_parts(row, groups)[g])[target])
            count += 1
        if count:
            loss += total / count
    return loss


def group_softmax_scores(row: list[float], groups: list[list[int]]) -> list[float]:
    parts = [softmax(part) for part in group_parts(row, groups)]
    scores = [0.0] * sum(len(group) for group in groups)
    for part, group in zip(parts[1:], groups, strict=True):
        for place, label in enumerate(group):
            scores[label] = part[place + 1] * parts[0][1]
    return scores
