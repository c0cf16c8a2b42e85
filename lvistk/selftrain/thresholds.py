"""Which pseudo labels are good enough to learn from: one threshold, one per group, or one per category."""

import numpy as np

from lvistk.config.train import SelfTrainSettings
from lvistk.data.store.detection_store import DetectionStore
from lvistk.structures.categories import FREQUENCIES, Categories
from lvistk.structures.detections import Detections

BINS = 1000
"""Steps of a score in which quantiles are told."""


def pseudo_thresholds(
    store: DetectionStore, categories: Categories, settings: SelfTrainSettings
) -> np.ndarray:
    """The smallest score (C,) float32 of a pseudo label that is used, by category."""
    match settings.pseudo_by:
        case "all":
            return np.full(len(categories), settings.pseudo_score, np.float32)
        case "group":
            return group_thresholds(
                categories, settings.pseudo_group_scores, other=settings.pseudo_score
            )
        case "category":
            return category_quantiles(
                store, size=len(categories), quantile=settings.pseudo_quantile
            )


def group_thresholds(
    categories: Categories, scores: tuple[float, float, float], *, other: float
) -> np.ndarray:
    """Thresholds (C,) float32 by frequency group.

    scores: of rare, common and frequent categories. other: of categories without a group.
    """
    thresholds = np.full(len(categories), other, np.float32)
    for letter, score in zip(FREQUENCIES, scores, strict=True):
        thresholds[categories.group(letter)] = score
    return thresholds


def category_quantiles(store: DetectionStore, *, size: int, quantile: float) -> np.ndarray:
    """The score (C,) float32 that a share ``quantile`` of a category's detections does not reach.

    Scores are counted in steps of 1 / ``BINS``, so that memory does not grow with the store; a threshold is
    the lower end of its step, and at least 1 - ``quantile`` of the detections reach it. 0 without detections.
    """
    counts = np.zeros(size * BINS, np.int64)
    for shard in store.shards:
        columns = shard.columns()
        steps = np.clip(np.floor(columns["score"] * np.float32(BINS)), 0, BINS - 1).astype(np.int64)
        counts += np.bincount(columns["label"] * np.int64(BINS) + steps, minlength=size * BINS)
    below = np.cumsum(counts.reshape(size, BINS), axis=1)  # (C, BINS)
    wanted = np.ceil(below[:, -1:] * (1 - quantile))
    reached = below[:, -1:] - below + counts.reshape(size, BINS)  # detections in this step or above
    step = (reached >= np.maximum(wanted, 1)).sum(axis=1) - 1
    return (np.maximum(step, 0) / BINS).astype(np.float32)


def usable(detections: Detections, thresholds: np.ndarray, *, per_image: int) -> Detections:
    """The detections of an image that reach their category's threshold (C,), the best ``per_image`` of them.

    per_image: 0 for all. Of equal scores the first stay.
    """
    keep = np.flatnonzero(detections.scores >= thresholds[detections.labels])
    if 0 < per_image < len(keep):
        best = np.argsort(-detections.scores[keep], kind="stable")[:per_image]
        keep = np.sort(keep[best])
    return detections.select(keep)
