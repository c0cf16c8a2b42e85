"""Boxes of any detector, by the images that they lie in: what ``predict --masks-for`` makes masks for."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvistk import console
from lvistk.data.index.lvis_json import ResultRecord, read_results
from lvistk.data.store.detection_store import DetectionStore, is_detection_store
from lvistk.errors import UserError
from lvistk.json_input.image_names import NamedImages
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections

UNKNOWN = (0, 0)
"""Size of an image that results say nothing about."""


def given_boxes(
    path: Path, names: Sequence[tuple[int, str]], *, categories: Categories, min_score: float
) -> dict[int, Detections]:
    """The boxes of each image, best first, from a results JSON or a detection store.

    names: id and name of every image; results may give either.
    categories: of the model, which has to know all of theirs by id.
    min_score: boxes that score less are left out.

    Results of images that are not among them are left out with a warning. Raises ``UserError`` for results
    without boxes, and for a category that the model does not know.
    """
    if is_detection_store(path):
        given = _of_store(DetectionStore.open(path), categories, path)
    else:
        given = _of_results(path, names, categories)
    known = {number for number, _ in names}
    strangers = [number for number in given if number not in known]
    if strangers:
        lost = sum(len(given.pop(number)) for number in strangers)
        console.warn(
            f"{path}: {lost} detections are left out: their {len(strangers)} images, such as "
            f"{strangers[0]}, are not among those that are given"
        )
    if not given:
        raise UserError(
            f"{path}: no box in any of the images that are given; results name an image by its file name, "
            "or by its id in --annotations"
        )
    return {number: one.select(one.scores >= min_score) for number, one in given.items()}


def _of_store(store: DetectionStore, categories: Categories, path: Path) -> dict[int, Detections]:
    labels = categories.labels(store.category_ids)  # of the store's labels
    given = {}
    for image in store:
        own = labels[image.labels]
        if len(own) and own.min() < 0:
            _unknown(path, int(store.category_ids[image.labels[own.argmin()]]), categories)
        given[image.image_id] = Detections(
            image.image_id, image.size, image.boxes, image.scores, own.astype(np.int32)
        )
    return given


def _of_results(
    path: Path, names: Sequence[tuple[int, str]], categories: Categories
) -> dict[int, Detections]:
    grouped: dict[int, list[ResultRecord]] = defaultdict(list)
    for number, record in enumerate(read_results(path, images=NamedImages(names, path=path))):
        if record.bbox is None:
            raise UserError(f"{path}: result {number} has no bbox; --masks-for needs boxes")
        grouped[record.image_id].append(record)
    given = {}
    for number, records in grouped.items():
        records.sort(key=lambda one: -one.score)
        ids = [one.category_id for one in records]
        labels = categories.labels(ids)
        if labels.min() < 0:
            _unknown(path, ids[int(labels.argmin())], categories)
        boxes = np.array([one.bbox for one in records], np.float32)  # (N, 4) xywh
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([one.score for one in records], np.float32)
        given[number] = Detections(number, UNKNOWN, boxes, scores, labels.astype(np.int32))
    return given


def _unknown(path: Path, category_id: int, categories: Categories) -> None:
    raise UserError(
        f"{path}: category {category_id} is none of the model's {len(categories)}; use a model of the same "
        "categories, or import it with them (lvistk import-weights --categories)"
    )
