"""``filter-missing``: keep the detections on training images that no annotation explains."""

from pathlib import Path
from typing import Any

import numpy as np

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.missing import MissingRule
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.cut_shard import cut_columns
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.selftrain.missing import evidence, is_missing
from lvistk.selftrain.summary import show_summary, summarise_store
from lvistk.selftrain.training_images import (
    detected_of,
    known_of_images,
    numbers_in_index,
    only_images,
)
from lvistk.stages.missing_against import measure_against
from lvistk.stages.specifications.filter_missing import FilterMissingInputs, FilterMissingSettings
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
    missing = stage.file("missing.h5")
    writer = DetectionWriter(missing, categories=index.categories, role="missing")
    parts, confident = _missing_columns(index, store, settings)
    images = sum(len(part["images/id"]) for part in parts)
    writer.write_columns(0, parts)
    if images < len(index):
        console.warn(
            f"{len(index) - images} of {len(index)} training images are not in "
            f"{', '.join(map(str, inputs.detections))}"
        )
    rows = summarise_store(DetectionStore.open(missing), index.categories)
    write_json(stage.file("per_category.json"), rows)
    show_summary(rows, title="taken for missing annotations")
    if inputs.train_images is not None:
        _draw_sheet(index, missing, inputs.train_images, stage)
    against = {}
    if inputs.against is not None:
        against = measure_against(inputs.against, settings, index, store, stage=stage)
    return {
        "photos": images,
        "confident": confident,
        "missing": sum(row["detections"] for row in rows),
        "missing_per_category": {
            str(row["id"]): row["detections"] for row in rows if row["detections"]
        },
        **against,
    }


def _missing_columns(
    index: AnnotationIndex, store: DetectionStore, rule: MissingRule
) -> tuple[list[dict[str, np.ndarray]], int]:
    """The columns of the missing annotations, shard by shard, and how many detections reach ``score``."""
    parts, confident, first = [], 0, 0
    every = numbers_in_index(index, store.image_ids)
    with console.progress("filter-missing", len(store)) as line:
        for shard in store.shards:
            numbers = every[first : first + len(shard.image_ids)]
            first += len(numbers)
            chosen = np.flatnonzero(numbers >= 0)
            columns = only_images(shard.columns(), chosen)
            confident += int((columns["score"] >= np.float32(rule.score)).sum())
            known = known_of_images(index, numbers[chosen])
            parts.append(
                cut_columns(columns, is_missing(evidence(detected_of(columns), known), rule))
            )
            line.advance(len(numbers))
    return parts, confident


def _draw_sheet(index: AnnotationIndex, missing: Path, root: Path, stage: StageFolder) -> None:
    from lvistk.selftrain.missing_pictures import draw_missing_sheet  # imports OpenCV

    path = stage.file("sheet.jpg")
    if draw_missing_sheet(index, DetectionStore.open(missing), root, path):
        console.say(f"pictures of some of them: {path}")
