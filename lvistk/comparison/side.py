"""What of one evaluation is compared: its scores, and the outcomes that they are made of."""

from typing import Any, NamedTuple

import numpy as np

from lvistk.comparison.outcomes import Outcomes, fixed_outcomes, outcomes
from lvistk.evaluation.evaluate import Evaluation
from lvistk.evaluation.metrics import average

KINDS = ("segm", "bbox")
RATIO = "segm_by_area_ratio"

Scores = dict[str, float | None]


class Part(NamedTuple):
    """One table of scores (or one bucket of it): the evaluation's own values, and what is behind them."""

    values: Scores
    outcomes: Outcomes


class Side(NamedTuple):
    """One of two evaluations. I images, C categories with ``names`` and ``frequency (C,)``.

    ``parts`` by name: ``segm``, ``bbox``, ``boundary``, ``segm_fixed``, ``bbox_fixed``, and for each bucket
    of mask area over box area ``segm LABEL`` and ``bbox LABEL``. ``gap`` is box AP minus mask AP, empty
    without both. ``categories`` holds AP of each category, of ``segm`` and ``bbox``.
    """

    gt_ids: np.ndarray
    images: int
    names: tuple[str, ...]
    frequency: np.ndarray
    ratio_labels: tuple[str, ...]
    parts: dict[str, Part]
    gap: Scores
    categories: dict[str, list[float | None]]


def side_of(evaluation: Evaluation, *, fixed_detections: int, threads: int) -> Side:
    """The side of an evaluation, which may be forgotten then. ``fixed_detections`` is AP-fixed's limit."""
    metrics, ranges = evaluation.metrics, evaluation.ranges
    parts: dict[str, Part] = {}
    for table, scored in evaluation.scores.items():
        if table.endswith("_fixed"):
            behind = fixed_outcomes(evaluation, table, limit=fixed_detections, threads=threads)
        else:
            behind = outcomes(evaluation, table, threads=threads)
        parts[table] = Part(metrics[table], behind)
        for bucket, label in enumerate(ranges.ratio_labels):
            values = _of_bucket(metrics.get(RATIO, {}).get(label, {}), table)
            range_ = ranges.ratio_range(bucket)
            if values and scored.precision.shape[3] > range_:
                behind = outcomes(evaluation, table, range_=range_, threads=threads)
                parts[f"{table} {label}"] = Part(values, behind)
    return Side(
        gt_ids=evaluation.gt.arrays.ids,
        images=len(evaluation.gt.arrays.image_ids),
        names=evaluation.gt.names,
        frequency=evaluation.gt.frequency,
        ratio_labels=ranges.ratio_labels,
        parts=parts,
        gap=metrics.get("box_mask_gap", {}),
        categories={
            table: [
                average(evaluation.scores[table].precision[:, :, c, 0])
                for c in range(len(evaluation.gt.names))
            ]
            for table in KINDS
            if table in evaluation.scores
        },
    )


def _of_bucket(bucket: dict[str, Any], table: str) -> Scores:
    """The scores of a bucket that are of masks (``segm``) or of boxes (``bbox``)."""
    names = {"segm": ("AP", "AP50", "AP75"), "bbox": ("box_AP",)}.get(table, ())
    return {name.removeprefix("box_"): bucket[name] for name in names if name in bucket}
