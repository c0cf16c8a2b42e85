"""``filter-missing``: keep the detections on training images that no annotation explains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.missing import MissingRule
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.selftrain.missing import evidence, is_missing, listed_score
from lvistk.selftrain.summary import show_summary, summarise_store
from lvistk.selftrain.training_images import image_pairs, in_parts, known_of_image
from lvistk.stages.missing_against import measure_against
from lvistk.stages.specifications.filter_missing import FilterMissingInputs, FilterMissingSettings
from lvistk.structures.detections import Detections
from lvistk.whole_file import write_json


def run(
    settings: FilterMissingSettings,
    inputs: FilterMissingInputs,
    stage: StageFolder,
) -> dict[str, Any]:
    """Write ``missing.h5``: one row per training image of the detections, and what is told of it.

    Runs on the CPU in seconds, so that a run that was stopped starts anew. Annotations with a defect
    are left out. Returns how many images, confident detections and missing annotations there are, and
    the missing annotations of each category id that has any.
    """
    index = AnnotationIndex.open(inputs.train, cache=cache_beside(stage.path), defects="skip")
    index.warn_of_defects()
    store = DetectionStore.open(*inputs.detections)
    pairs = image_pairs(index, store)
    if len(pairs) < len(index):
        console.warn(
            f"{len(index) - len(pairs)} of {len(index)} training images are not in "
            f"{', '.join(map(str, inputs.detections))}"
        )
    missing = stage.file("missing.h5")
    writer = DetectionWriter(missing, categories=index.categories, role="missing")
    counts = _Counts()
    writer.write_in_parts(0, _parts(index, store, pairs, settings, counts))
    rows = summarise_store(DetectionStore.open(missing), index.categories)
    write_json(stage.file("per_category.json"), rows)
    show_summary(rows, title="taken for missing annotations")
    if inputs.train_images is not None:
        _draw_sheet(index, missing, inputs.train_images, stage)
    against = {}
    if inputs.against is not None:
        against = measure_against(inputs.against, settings, index, store, pairs, stage=stage)
    return {
        "photos": len(pairs),
        "confident": counts.confident,
        "missing": sum(row["detections"] for row in rows),
        "missing_per_category": {
            str(row["id"]): row["detections"] for row in rows if row["detections"]
        },
        **against,
    }


class _Counts:
    """What is counted on the way: ``confident`` detections, whatever is annotated."""

    confident = 0


def _parts(
    index: AnnotationIndex,
    store: DetectionStore,
    pairs: np.ndarray,
    rule: MissingRule,
    counts: _Counts,
) -> Iterator[list[Detections]]:
    """The missing annotations of the images, some images at a time."""
    lowest = np.float32(min(rule.score, listed_score(rule)))
    with console.progress("filter-missing", len(pairs)) as line:
        for part in in_parts(pairs):
            images = []
            for i, row in part:
                detections = store[row]
                counts.confident += int((detections.scores >= rule.score).sum())
                detections = detections.select(detections.scores >= lowest)
                keep = is_missing(evidence(detections, known_of_image(index, i)), rule)
                images.append(detections.select(keep))
                line.advance()
            yield images


def _draw_sheet(index: AnnotationIndex, missing: Path, root: Path, stage: StageFolder) -> None:
    from lvistk.selftrain.missing_pictures import draw_missing_sheet  # imports OpenCV

    path = stage.file("sheet.jpg")
    if draw_missing_sheet(index, DetectionStore.open(missing), root, path):
        console.say(f"pictures of some of them: {path}")
