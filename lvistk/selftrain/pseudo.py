"""Pseudo-labelled images as a source of training samples (arXiv 2009.01559, self-training)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvistk.config.train import SelfTrainSettings
from lvistk.data.augment.mosaic import Labels
from lvistk.data.index.instances import Instances
from lvistk.data.store.detection_store import DetectionStore
from lvistk.data.training.image_sources import SourceImage, instances_from_detections
from lvistk.errors import UserError
from lvistk.selftrain.thresholds import pseudo_thresholds, usable
from lvistk.structures.categories import Categories


class PseudoSource:
    """The images of a pseudo-label store that have a usable label (an ``ImageSource``).

    Boxes and RLE masks of the labels that reach their category's threshold are taken for ground truth. Their
    losses count ``pseudo_weight``, and times their score if so set. Nothing is known to be absent from them,
    so the list of negatives is empty; and as detections miss instances, every category present counts as not
    exhaustively labelled (our choice).

    thresholds: (C,) float32, the smallest score that is used, by category.
    """

    def __init__(
        self,
        store: DetectionStore,
        pool: Path,
        *,
        categories: Categories,
        settings: SelfTrainSettings,
    ) -> None:
        """``pool`` is the folder that the store's image names are relative to.

        Raises ``UserError`` where the store names no images, or none has a usable label.
        """
        self._store, self._pool, self._settings = store, pool, settings
        self.thresholds = pseudo_thresholds(store, categories, settings)
        self._rows, self._wide = _usable_rows(store, self.thresholds)
        if not len(self._rows):
            raise UserError(
                f"{store.path}: no pseudo label has a score of {self.thresholds.min(initial=1):g} or more; "
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
        store, stored, settings = self._store, int(self._rows[row]), self._settings
        labels = usable(store[stored], self.thresholds, per_image=settings.pseudo_per_image)
        instances = instances_from_detections(labels, weighted=settings.pseudo_score_weight)
        return SourceImage(
            path=self._pool / store.name(stored),
            image_id=labels.image_id,
            size=labels.size,
            labels=Labels(
                instances=instances,
                missing=Instances.empty(),
                negative=np.zeros(0, np.int64),
                not_exhaustive=np.unique(instances.labels),
            ),
            rotation=store.rotation(stored),
            weight=settings.pseudo_weight,
            mask_weight=float(settings.pseudo_masks),
        )


def open_pseudo_source(
    paths: Sequence[Path], pool: Path, *, categories: Categories, settings: SelfTrainSettings
) -> PseudoSource:
    """The source of pseudo-label stores (files, folders, or stages); their categories must be the data's."""
    store = DetectionStore.open(*paths)
    if not np.array_equal(store.category_ids, categories.ids):
        raise UserError(
            f"{paths[0]}: pseudo labels have {len(store.category_ids)} categories and the annotations "
            f"{len(categories)}, not the same ids; label the pool with a model of the same data"
        )
    return PseudoSource(store, pool, categories=categories, settings=settings)


def _usable_rows(store: DetectionStore, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (K,) of the images with a usable label, and whether each is wider than high."""
    rows, wide, first = [np.zeros(0, np.int64)], [np.zeros(0, bool)], 0
    for shard in store.shards:
        columns = shard.columns()
        good = columns["score"] >= thresholds[columns["label"]]
        before = np.concatenate([[0], np.cumsum(good)])
        edges = before[columns["images/row"]]
        kept = np.flatnonzero(edges[1:] > edges[:-1])
        rows.append(first + kept)
        wide.append((columns["images/width"] > columns["images/height"])[kept])
        first += len(edges) - 1
    return np.concatenate(rows), np.concatenate(wide)
