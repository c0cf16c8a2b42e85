"""Pseudo-labelled images as a source of training samples (arXiv 2009.01559, self-training)."""

from pathlib import Path

import numpy as np

from lvistk.data.augment.mosaic import Labels
from lvistk.data.index.instances import Instances
from lvistk.data.store.detection_store import DetectionStore
from lvistk.data.training.image_sources import SourceImage, instances_from_detections
from lvistk.errors import UserError
from lvistk.structures.categories import Categories


class PseudoSource:
    """The images of a pseudo-label store that have a detection of at least ``score`` (a ``ImageSource``).

    Their boxes and RLE masks are taken for ground truth, and their losses count ``weight``. Nothing is
    known to be absent from them, so the list of negatives is empty; and as detections miss instances,
    every category present counts as not exhaustively labelled (our choice).
    """

    def __init__(
        self, store: DetectionStore, pool: Path, *, score: float, weight: float = 1.0
    ) -> None:
        """``pool`` is the folder that the store's image names are relative to.

        Raises ``UserError`` where the store names no images, or none has a detection of ``score``.
        """
        self._store, self._pool = store, pool
        self._score, self._weight = score, weight
        self._rows, self._wide = _usable_rows(store, score)
        if not len(self._rows):
            raise UserError(
                f"{store.path}: no pseudo label has a score of {score:g} or more; "
                "lower selftrain.pseudo_score or train the labelling model longer"
            )
        if not store.name(int(self._rows[0])):
            raise UserError(
                f"{store.path}: names no images; make it with pseudo-label --source openimages or images"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def wide(self, rows: np.ndarray) -> np.ndarray:
        return self._wide[rows]

    def image(self, row: int) -> SourceImage:
        store, stored = self._store, int(self._rows[row])
        detections = store[stored]
        instances = instances_from_detections(detections.select(detections.scores >= self._score))
        return SourceImage(
            path=self._pool / store.name(stored),
            image_id=detections.image_id,
            size=detections.size,
            labels=Labels(
                instances=instances,
                missing=Instances.empty(),
                negative=np.zeros(0, np.int64),
                not_exhaustive=np.unique(instances.labels),
            ),
            rotation=store.rotation(stored),
            weight=self._weight,
        )


def open_pseudo_source(
    path: Path, pool: Path, *, categories: Categories, score: float, weight: float
) -> PseudoSource:
    """The source of a pseudo-label store (file, folder, or stage); its categories must be the data's."""
    store = DetectionStore.open(path)
    if not np.array_equal(store.category_ids, categories.ids):
        raise UserError(
            f"{path}: pseudo labels have {len(store.category_ids)} categories and the annotations "
            f"{len(categories)}, not the same ids; label the pool with a model of the same data"
        )
    return PseudoSource(store, pool, score=score, weight=weight)


def _usable_rows(store: DetectionStore, score: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows (K,) of the images with a detection of ``score``, and whether each is wider than high."""
    rows, wide, first = [np.zeros(0, np.int64)], [np.zeros(0, bool)], 0
    for shard in store.shards:
        columns = shard.columns()
        before = np.concatenate([[0], np.cumsum(columns["score"] >= score)])
        edges = before[columns["images/row"]]
        kept = np.flatnonzero(edges[1:] > edges[:-1])
        rows.append(first + kept)
        wide.append((columns["images/width"] > columns["images/height"])[kept])
        first += len(edges) - 1
    return np.concatenate(rows), np.concatenate(wide)
