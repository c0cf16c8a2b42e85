"""Scores of every category, and all precision and recall, as files."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from lvistk.evaluation.metrics import average
from lvistk.evaluation.outcome import Outcome
from lvistk.evaluation.ranges import AREA_LABELS, IOU_THRESHOLDS, RECALL_THRESHOLDS
from lvistk.whole_file import whole_file


def per_category(outcome: Outcome) -> list[dict[str, Any]]:
    """One row per category: id, name, group, number of ground truth instances, and of each table the
    judged detections and the scores.

    Scores are called ``segm_AP``, ``segm_AP50``, ``segm_AR`` and so on; they are None for a category
    without a ground truth instance.
    """
    known = outcome.categories
    any_table = next(iter(outcome.tables.values()))
    columns: dict[str, list[Any]] = {
        "category_id": known.ids.tolist(),
        "name": list(known.names),
        "frequency": [letter or None for letter in known.frequency.tolist()],
        "train_images": [None if n < 0 else n for n in known.train_images.tolist()],
        "truths": any_table.gt_counts[:, 0].tolist(),
    }
    for name, one in outcome.tables.items():
        columns[f"{name}_detections"] = one.judged.tolist()
        columns[f"{name}_AP"] = _each(one.precision[:, :, :, 0])
        columns[f"{name}_AP50"] = _each(one.precision[:1, :, :, 0])
        columns[f"{name}_AR"] = _each(one.recall[:, None, :, 0])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _each(values: np.ndarray) -> list[float | None]:
    """Mean over the first two axes, for every entry of the third; None if all of it is NaN."""
    return [average(values[:, :, c]) for c in range(values.shape[2])]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV with a head line; None is an empty cell."""
    with whole_file(path) as temporary, temporary.open("w", newline="") as handle:
        if not rows:
            return
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_curves(path: Path, outcome: Outcome) -> None:
    """Write precision (T, K, C, R) and recall (T, C, R) of every table, float64, NaN if undefined.

    T IoU thresholds, K recall thresholds, C categories by ascending id, R ranges: all, small, medium,
    large, then those of mask area over box area. The file has the axes too.
    """
    arrays: dict[str, np.ndarray] = {
        "iou_thresholds": IOU_THRESHOLDS,
        "recall_thresholds": RECALL_THRESHOLDS,
        "category_ids": outcome.categories.ids,
        "ranges": np.array([*AREA_LABELS, *outcome.ranges.ratio_labels]),
    }
    for name, one in outcome.tables.items():
        arrays |= {f"{name}_precision": one.precision, f"{name}_recall": one.recall}
    with whole_file(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **arrays)
