"""Which detections count, and in which order: the limits and the stable orders of lvis-api."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lvistk.jit import kernel


class Candidates(NamedTuple):
    """N detections.

    kept: (N,) bool, those that count
    images, categories: (N,) rows in the ground truth's tables
    scores: (N,)
    image_count, category_count: rows of these tables
    """

    kept: np.ndarray
    images: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    image_count: int
    category_count: int


class Ranking(NamedTuple):
    """D detections by category, then by falling score; equal scores by image, then as in the input.

    order: (D,) int32 rows of the detections
    first: (C + 1,); category c has ``order[first[c]:first[c + 1]]``
    """

    order: np.ndarray
    first: np.ndarray


def keep_best(groups: np.ndarray, scores: np.ndarray, *, limit: int, count: int) -> np.ndarray:
    """Which of N detections are among the best of their group: (N,) bool.

    groups: (N,) 0 to ``count - 1``; detections of other groups are not kept
    scores: (N,); of equal ones the first in the input is better
    limit: detections kept per group
    count: number of groups
    """
    kept = groups >= 0
    large = np.flatnonzero(_sizes(groups, count) > limit)
    if not len(large):
        return kept
    rows, first = _grouped(groups, count)
    for group in large.tolist():
        mine = rows[first[group] : first[group + 1]]
        kept[mine[np.argsort(-scores[mine], kind="stable")[limit:]]] = False
    return kept


def rank(candidates: Candidates, *, threads: int) -> Ranking:
    """The kept detections in order."""
    order, first = _by_category(*candidates)
    cuts = np.searchsorted(first, np.linspace(0, len(order), 4 * threads + 1)[1:-1])
    edges = np.unique(np.concatenate([[0], cuts, [candidates.category_count]]))
    with ThreadPoolExecutor(threads) as pool:
        for done in [
            pool.submit(_sort_categories, order, first, candidates.scores, a, b)
            for a, b in itertools.pairwise(edges.tolist())
        ]:
            done.result()
    return Ranking(order, first)


def category_sizes(candidates: Candidates) -> np.ndarray:
    """(C,) int64, kept detections of each category."""
    return _category_sizes(candidates.kept, candidates.categories, candidates.category_count)


@kernel
def _sizes(groups, count):
    """(count,) int64, detections of each group."""
    sizes = np.zeros(count, np.int64)
    for k in range(len(groups)):
        if groups[k] >= 0:
            sizes[groups[k]] += 1
    return sizes


@kernel
def _grouped(groups, count):
    """Rows by group, in the order of the input: (rows, first of each group). Groups below 0 are left out."""
    first = np.zeros(count + 2, np.int64)
    for k in range(len(groups)):
        if groups[k] >= 0:
            first[groups[k] + 2] += 1
    for g in range(2, count + 2):
        first[g] += first[g - 1]
    rows = np.empty(first[count + 1], np.int32)
    for k in range(len(groups)):
        g = groups[k]
        if g >= 0:
            rows[first[g + 1]] = k
            first[g + 1] += 1
    return rows, first[: count + 1]


@kernel
def _category_sizes(kept, categories, count):
    sizes = np.zeros(count, np.int64)
    for k in range(len(kept)):
        if kept[k]:
            sizes[categories[k]] += 1
    return sizes


@kernel
def _by_category(kept, images, categories, scores, image_count, category_count):
    """Rows of the kept detections by category, then image, then as in the input: (order, first)."""
    last = 0
    ordered = True
    for k in range(len(images)):
        if kept[k]:
            ordered &= images[k] >= last
            last = images[k]
    sizes = _category_sizes(kept, categories, category_count)
    first = np.zeros(category_count + 2, np.int64)
    for c in range(category_count):
        first[c + 2] = first[c + 1] + sizes[c]
    order = np.empty(first[category_count + 1], np.int32)
    if ordered:
        for k in range(len(kept)):
            if kept[k]:
                order[first[categories[k] + 1]] = k
                first[categories[k] + 1] += 1
    else:
        rows, _ = _grouped(images, image_count)
        for k in rows:
            if kept[k]:
                order[first[categories[k] + 1]] = k
                first[categories[k] + 1] += 1
    return order, first[: category_count + 1]


def _sort_categories(
    order: np.ndarray, first: np.ndarray, scores: np.ndarray, low: int, high: int
) -> None:
    """Sort the rows of categories low..high - 1 by falling score, in place."""
    edges = first.tolist()
    for c in range(low, high):
        rows = order[edges[c] : edges[c + 1]]
        if len(rows) > 1:
            rows[:] = rows[np.argsort(-scores[rows], kind="stable")]
