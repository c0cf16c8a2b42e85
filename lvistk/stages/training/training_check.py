"""What is known to be wrong with the inputs of a training before its first step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lvistk.config.train import LoaderSettings, LoopSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.stages.specifications.training import TrainingInputs
from lvistk.structures.categories import Categories

Role = Literal["missing", "pseudo"]
MAKERS = {"missing": "filter-missing", "pseudo": "pseudo-label --source openimages"}


def check_training(
    inputs: TrainingInputs,
    *,
    out: Path,
    loader: LoaderSettings,
    loop: LoopSettings,
    pseudo: Sequence[Path] = (),
) -> None:
    """Open annotations, stores and validation data; ``UserError`` for the first that cannot be used.

    Nothing is written but the annotation index beside the stage folder ``out``.
    """
    cache = cache_beside(out)
    index = AnnotationIndex.open(inputs.train, cache=cache, defects=loader.defects)
    if not len(index.labels):
        files = ", ".join(map(str, inputs.train))
        raise UserError(f"{files}: no annotations to train on; give the file that has them")
    if inputs.missing is not None:
        store = check_store(inputs.missing, role="missing", categories=index.categories)
        if not np.isin(index.image_ids, store.image_ids).any():
            raise UserError(
                f"{inputs.missing}: holds none of the images of {inputs.train[0]}; give the result of "
                "filter-missing on these annotations"
            )
    if pseudo:
        check_store(*pseudo, role="pseudo", categories=index.categories)
    if loop.evaluate_epochs:
        check_validation(inputs, cache=cache, categories=index.categories, defects=loader.defects)


def check_store(*paths: Path, role: Role, categories: Categories) -> DetectionStore:
    """The detection store at one path or at several; ``UserError`` unless it has this role and these
    categories."""
    store, path = DetectionStore.open(*paths), paths[0]
    if store.role != role:
        raise UserError(
            f"{path}: a store of role '{store.role}', not '{role}'; give the result of {MAKERS[role]}"
        )
    if not np.array_equal(store.category_ids, categories.ids):
        raise UserError(
            f"{path}: has {len(store.category_ids)} categories and the training annotations have "
            f"{len(categories)}, not the same ids; make it with a model of these annotations"
        )
    return store


def check_validation(
    inputs: TrainingInputs,
    *,
    cache: Path,
    categories: Categories,
    defects: Literal["fail", "skip"],
) -> None:
    """The validation annotations can be scored, and their images are there (with ``skip``, one is)."""
    if inputs.val is None or inputs.val_images is None:
        raise UserError("loop.evaluate_epochs needs the inputs 'val' and 'val_images'")
    index = AnnotationIndex.open([inputs.val], cache=cache, defects="skip")
    if not len(index.labels):
        raise UserError(
            f"{inputs.val}: no annotations to score against; give the validation file that has them, or "
            "set loop.evaluate_epochs=0"
        )
    categories.require_same_labels(
        index.categories, ours=str(inputs.train[0]), theirs=str(inputs.val)
    )
    missing: UserError | None = None
    for i in range(len(index)):
        try:
            index.image_path(i, inputs.val_images)
        except UserError as error:
            missing = error
            if defects == "fail":
                raise
        else:
            if defects == "skip":
                return
    if missing is not None:
        raise missing
