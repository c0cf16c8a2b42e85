"""The budget of AP-fixed: at most so many detections per category over a whole data set.

AP-fixed (Dave et al. 2021, arXiv 2102.01066) ranks the best 10,000 detections of each category over all
images, without a limit per image. Nobody wants to store what cannot be among them: the scores of the shards
that are finished say what a further detection must reach, and when all are finished the store is cut to
exactly its best. So the result does not depend on which shards were finished first, nor on restarts.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvistk.data.store.cut_shard import cut_shard
from lvistk.data.store.detection_store import DetectionStore
from lvistk.inference.candidates import Candidates
from lvistk.structures.detections import Detections


class CategoryQuota:
    """The best ``limit`` scores of each of C categories so far; a ``limit`` of 0 takes everything.

    Detections count by what masks are ranked by, which is never above their score.
    """

    def __init__(self, limit: int, categories: int) -> None:
        self.limit = limit
        self._best = [np.zeros(0, np.float32) for _ in range(categories if limit else 0)]
        self._least = np.full(categories, -np.inf, np.float32)

    def add(self, detections: Sequence[Detections]) -> None:
        """Count the detections of finished images."""
        filled = [one for one in detections if len(one)]
        if not self.limit or not filled:
            return
        labels = np.concatenate([one.labels for one in filled])
        scores = np.concatenate([_lower_score(one) for one in filled])
        order = np.argsort(labels, kind="stable")
        for label, rows in _groups(labels[order], order):
            best = np.concatenate([self._best[label], scores[rows]])
            if len(best) >= self.limit:
                best = np.partition(best, len(best) - self.limit)[-self.limit :]
                self._least[label] = best.min()
            self._best[label] = best

    def select(self, candidates: Candidates) -> Candidates:
        """The candidates of an image that may be among the best of their categories."""
        if not self.limit:
            return candidates
        return candidates.select(candidates.scores >= self._least[candidates.labels])


def _lower_score(detections: Detections) -> np.ndarray:
    return detections.scores if detections.mask_scores is None else detections.mask_scores


def _groups(ordered: np.ndarray, order: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each label in ascending ``ordered`` (N,), and its part of ``order`` (N,)."""
    labels, first = np.unique(ordered, return_index=True)
    return list(zip(labels.tolist(), np.split(order, first[1:]), strict=True))


def cut_store(path: Path, limit: int) -> int:
    """Leave each category of a finished store its best ``limit`` by score and its best by mask score.

    Among equal scores the earlier detection of the store stays. Shards that lose something are written
    again, each whole or not at all; cutting twice changes nothing. Returns how many detections went.
    """
    store = DetectionStore.open(path)
    keep = _kept_rows(store, limit)
    row = 0
    for shard in store.shards:
        count = shard.layout["score"][1][0]
        kept = keep[row : row + count]
        row += count
        if not kept.all():
            cut_shard(shard, kept, role=store.role)
    return len(keep) - int(keep.sum())


def _kept_rows(store: DetectionStore, limit: int) -> np.ndarray:
    """Which detections (N,) of a store are among the best of their category, by either score."""
    columns = [shard.columns() for shard in store.shards]
    labels = np.concatenate([one["label"] for one in columns])
    scores = np.concatenate([one["score"] for one in columns])
    ranked = [scores]
    if any("mask_score" in one for one in columns):
        ranked.append(np.concatenate([one.get("mask_score", one["score"]) for one in columns]))
    keep = np.zeros(len(labels), bool)
    for by in ranked:
        order = np.lexsort((-by, labels))  # stable: the earlier one of equal scores is first
        of_label = labels[order]
        rank = np.arange(len(order)) - np.searchsorted(of_label, of_label)
        keep[order[rank < limit]] = True
    return keep
