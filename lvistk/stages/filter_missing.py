"""``filter-missing``: keep the detections on training images that no annotation explains."""

from typing import Any

import numpy as np

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.selftrain.missing import impossible_labels, missing_annotations
from lvistk.stages.specifications.filter_missing import FilterMissingInputs, FilterMissingSettings
from lvistk.structures.detections import Detections


def run(
    settings: FilterMissingSettings,
    inputs: FilterMissingInputs,
    stage: StageFolder,
) -> dict[str, Any]:
    """Write ``missing.h5``: one row per training image of the detections.

    Runs on the CPU in seconds, so that a run that was stopped starts anew. Annotations with a defect
    are left out. Returns how many images, confident detections and missing annotations there are, and
    the missing annotations of each category id that has any.
    """
    assert inputs.detections is not None  # the runner has checked that it is given
    index = AnnotationIndex.open(inputs.train, cache=cache_beside(stage.path), defects="skip")
    index.warn_of_defects()
    store = DetectionStore.open(inputs.detections)
    images: list[Detections] = []
    confident = unseen = 0
    with console.progress("filter-missing", len(index)) as line:
        for i in range(len(index)):
            line.advance()
            rows = store.rows(int(index.image_ids[i]))
            if not len(rows):
                unseen += 1
                continue
            detections = store[int(rows[0])]
            confident += int((detections.scores >= settings.score).sum())
            images.append(_missing(index, i, detections, settings))
    if unseen:
        console.warn(f"{unseen} of {len(index)} training images are not in {inputs.detections}")
    writer = DetectionWriter(stage.file("missing.h5"), categories=index.categories, role="missing")
    writer.write_shard(0, images)
    labels = np.concatenate([np.zeros(0, np.int64), *[image.labels for image in images]])
    counts = np.bincount(labels, minlength=len(index.categories))
    ids = index.categories.ids.tolist()
    return {
        "photos": len(images),
        "confident": confident,
        "missing": len(labels),
        "missing_per_category": {
            str(ids[label]): int(counts[label]) for label in np.flatnonzero(counts)
        },
    }


def _missing(
    index: AnnotationIndex, i: int, detections: Detections, settings: FilterMissingSettings
) -> Detections:
    gt = index.annotations(i)
    impossible = None
    if settings.rule == "federated":
        impossible = impossible_labels(
            negative=index.negative_labels(i),
            positive=gt.labels,
            not_exhaustive=index.not_exhaustive_labels(i),
        )
    return missing_annotations(
        detections,
        gt.boxes,
        score=settings.score,
        max_iou=settings.max_iou,
        impossible=impossible,
    )
