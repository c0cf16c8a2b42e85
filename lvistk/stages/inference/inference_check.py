"""What is known to be wrong with the inputs of an inference, or of filter-missing, before it begins.

Nothing is written but the annotation index beside the stage folder.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError


def check_images(model: Path, annotations: Sequence[Path], images: Path, *, out: Path) -> None:
    """The model is one, has the files' categories, and the folder holds at least one of their images."""
    from lvistk.models.model_file import model_categories  # imports torch

    index = AnnotationIndex.open(annotations, cache=cache_beside(out), defects="skip")
    model_categories(model).require_same_labels(
        index.categories, ours=str(model), theirs=str(annotations[0])
    )
    missing: UserError | None = None
    for i in range(len(index)):
        try:
            index.image_path(i, images)
        except UserError as error:
            missing = missing or error
        else:
            return
    if missing is not None:
        raise UserError(f"{images}: none of the {len(index)} images of {annotations[0]}: {missing}")


def check_detections(detections: Sequence[Path], annotations: Sequence[Path], *, out: Path) -> None:
    """The stores are whole, have the files' categories and at least one of their images."""
    store = DetectionStore.open(*detections)
    index = AnnotationIndex.open(annotations, cache=cache_beside(out), defects="skip")
    if not np.array_equal(store.category_ids, index.categories.ids):
        raise UserError(
            f"{detections[0]} has {len(store.category_ids)} categories and the annotations have "
            f"{len(index.categories)}: use detections of a model trained on these files"
        )
    if len(index) and not np.isin(index.image_ids, store.image_ids).any():
        raise UserError(
            f"{detections[0]}: holds none of the images of {annotations[0]}; give the result of "
            "pseudo-label --source lvis on these annotations"
        )
