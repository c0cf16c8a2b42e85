"""The result of an evaluation: tables of precision and recall, and the metrics made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvistk.evaluation.metrics import average_precision, by_ratio, summarise
from lvistk.evaluation.ranges import Ranges

GAPS = ("AP", "AP50", "AP75", "APr", "APc", "APf")


@dataclass(frozen=True, eq=False)
class Table:
    """One table of scores, of T IoU thresholds, K recall thresholds, C categories by ascending id, R ranges.

    precision: (T, K, C, R) float64, NaN if undefined
    recall: (T, C, R) float64, NaN if undefined
    gt_counts: (C, R) ground truth instances that count
    judged: (C,) detections that count
    """

    precision: np.ndarray
    recall: np.ndarray
    gt_counts: np.ndarray
    judged: np.ndarray


@dataclass(frozen=True, eq=False)
class CategoryTable:
    """C categories by ascending id.

    ids: (C,)
    names: C names
    frequency: (C,) 'r', 'c', 'f' or ''
    train_images: (C,) training images, as the file says (``image_count``); -1 if it does not
    """

    ids: np.ndarray
    names: tuple[str, ...]
    frequency: np.ndarray
    train_images: np.ndarray


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of an evaluation.

    metrics: content of ``metrics.json``
    tables: ``segm``, ``bbox``, ``boundary``, ``segm_fixed``, ``bbox_fixed``, as far as they were asked for;
        the scores in ``metrics`` have the same keys
    categories: the columns of the tables
    ranges: their last axis
    warnings: what the user should know, a line each
    seconds: wall-clock time of each part
    """

    metrics: dict[str, Any]
    tables: Mapping[str, Table]
    categories: CategoryTable
    ranges: Ranges
    warnings: tuple[str, ...]
    seconds: dict[str, float]


def assemble(
    tables: Mapping[str, Table],
    *,
    frequency: np.ndarray,
    ranges: Ranges,
    max_detections: int,
    areas: dict[str, str],
    ratios_of_boxes: bool,
) -> dict[str, Any]:
    """The content of ``metrics.json``.

    tables: by name, as in ``Outcome``
    frequency: (C,) 'r', 'c', 'f' or ''
    ranges: last axis of the tables
    max_detections: per image
    areas: for each kind the area that APs, APm and APl go by
    ratios_of_boxes: whether the detections of the box table have masks, and so an area ratio
    """
    metrics: dict[str, Any] = {}
    for name, table in tables.items():
        limit = 0 if name.endswith("_fixed") else max_detections
        metrics[name] = summarise(
            table.precision, table.recall, frequency=frequency, max_detections=limit
        )
    if "segm" in tables:
        mask_table, box_table = tables["segm"], tables.get("bbox")
        if box_table is not None:
            segm, bbox = metrics["segm"], metrics["bbox"]
            metrics["box_mask_gap"] = {key: _difference(bbox[key], segm[key]) for key in GAPS}
        buckets = by_ratio(mask_table.precision, gt_counts=mask_table.gt_counts, ranges=ranges)
        if box_table is not None and ratios_of_boxes:
            for bucket, label in enumerate(ranges.ratio_labels):
                range_ = ranges.ratio_range(bucket)
                buckets[label]["box_AP"] = average_precision(box_table.precision, range_=range_)
        metrics["segm_by_area_ratio"] = buckets
    metrics["area"] = areas
    metrics["max_detections"] = max_detections
    return metrics


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
