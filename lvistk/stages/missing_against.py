"""Precision and recall of missing annotations where fuller annotations are known (``--against``)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.missing import MissingRule
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.percent import percent_text
from lvistk.selftrain.hidden import (
    SCORES,
    HiddenMatches,
    by_category,
    hidden_instances,
    match_hidden,
    sweep,
)
from lvistk.selftrain.missing import Detected, evidence
from lvistk.selftrain.training_images import image_pairs, known_of_image
from lvistk.structures.detections import Detections
from lvistk.whole_file import write_json

_whole = partial(percent_text, decimals=0)
"""Whole percents: what precision and recall of a few hundred instances are good for."""
PART = 1000
"""Images whose matches are joined at once."""


def measure_against(
    path: Path,
    rule: MissingRule,
    index: AnnotationIndex,
    store: DetectionStore,
    *,
    stage: StageFolder,
) -> dict[str, Any]:
    """Write ``against.json`` and ``against.png``, print their tables, and return what the summary tells.

    path: annotation file of these images, or of some of them, that has the instances which others lack
    """
    full = AnnotationIndex.open([path], cache=cache_beside(stage.path), defects="skip")
    full.warn_of_defects()
    index.categories.require_same_labels(
        full.categories, ours=str(index.sources[0]), theirs=str(path)
    )
    matches = matches_of(index, full, store)
    if not len(matches.hidden):
        raise UserError(f"{path}: has no instance that {index.sources[0]} lacks in these images")
    rows, chosen = sweep(matches, rule), matches.measure_rule(rule)
    value = {
        "hidden": len(matches.hidden),
        "chosen": chosen,
        "rules": rows,
        "per_category": by_category(matches, rule, index.categories),
    }
    write_json(stage.file("against.json"), value)
    from lvistk.selftrain.missing_pictures import draw_curves  # imports OpenCV and matplotlib

    draw_curves(matches, rule, stage.file("against.png"))
    _show(rows, chosen, hidden=len(matches.hidden))
    return {"hidden": len(matches.hidden), **{k: v for k, v in chosen.items() if k != "kept"}}


def matches_of(
    index: AnnotationIndex, full: AnnotationIndex, store: DetectionStore
) -> HiddenMatches:
    """Detections beside hidden instances, of the images that ``index``, ``full`` and ``store`` have."""
    pairs = image_pairs(index, store)
    both = pairs[np.isin(index.image_ids[pairs[:, 0]], full.image_ids)]
    parts = []
    with console.progress("against", len(both)) as line:
        for first in range(0, len(both), PART):
            images = []
            for i, row in both[first : first + PART].tolist():
                images.append(_matches_of_image(index, i, full, store[row]))
                line.advance()
            parts.append(HiddenMatches.concatenate(images))
    return HiddenMatches.concatenate(parts)


def _matches_of_image(
    index: AnnotationIndex, i: int, full: AnnotationIndex, detections: Detections
) -> HiddenMatches:
    known = known_of_image(index, i)
    every = known_of_image(full, full.index_of(detections.image_id))
    hidden = hidden_instances(
        known.boxes, known.labels, full_boxes=every.boxes, full_labels=every.labels
    )
    return match_hidden(
        detections,
        evidence(Detected.of_image(detections), known),
        boxes=every.boxes[hidden],
        labels=every.labels[hidden],
    )


def _show(rows: Sequence[dict[str, Any]], chosen: dict[str, Any], *, hidden: int) -> None:
    """Precision and recall by rule, overlap and score, in percent, and those of the run's settings."""
    for prefix, what in (("", "same category"), ("region_", "any category")):
        lines: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            pair = (_whole(row[f"{prefix}precision"]), _whole(row[f"{prefix}recall"]))
            lines.setdefault((row["rule"], row["overlap"]), []).append("/".join(pair))
        console.table(
            f"precision/recall of {hidden} hidden instances by score, {what} (%)",
            ("rule", "overlap", *(f"{score:g}" for score in SCORES)),
            [[*key, *values] for key, values in lines.items()],
            left=2,
        )
    console.say(
        f"this run: {chosen['kept']} taken for missing, precision {_whole(chosen['precision'])}%, recall "
        f"{_whole(chosen['recall'])}% ({_whole(chosen['region_precision'])}% and "
        f"{_whole(chosen['region_recall'])}% whatever the category)"
    )
