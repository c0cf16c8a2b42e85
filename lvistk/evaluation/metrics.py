"""From precision and recall arrays to the numbers that papers print."""

import numpy as np

from lvistk.evaluation.ranges import IOU_THRESHOLDS, Ranges

ALL, SMALL, MEDIUM, LARGE = range(4)
Scores = dict[str, float | None]


def average(values: np.ndarray) -> float | None:
    """Mean of the defined values; None where there is none."""
    defined = values[~np.isnan(values)]
    return float(np.mean(defined)) if len(defined) else None


def average_precision(
    precision: np.ndarray,
    *,
    range_: int = ALL,
    iou: float | None = None,
    categories: np.ndarray | None = None,
) -> float | None:
    """AP over thresholds (or at one ``iou``) and categories (or some rows), LVIS's mean of means."""
    chosen = precision[:, :, :, range_]
    if iou is not None:
        chosen = chosen[np.flatnonzero(np.isclose(IOU_THRESHOLDS, iou))]
    if categories is not None:
        chosen = chosen[:, :, categories]
    return average(chosen)


def summarise(
    precision: np.ndarray, recall: np.ndarray, *, frequency: np.ndarray, max_detections: int
) -> Scores:
    """The thirteen scores of lvis-api, as fractions; None where nothing defines one.

    ``frequency (C,)`` is 'r', 'c', 'f' or ''. AR is named after ``max_detections``; without a limit per
    image (0) it is plain ``AR``.
    """
    scores: Scores = {
        "AP": average_precision(precision),
        "AP50": average_precision(precision, iou=0.5),
        "AP75": average_precision(precision, iou=0.75),
        "APs": average_precision(precision, range_=SMALL),
        "APm": average_precision(precision, range_=MEDIUM),
        "APl": average_precision(precision, range_=LARGE),
    }
    for letter in "rcf":
        rows = np.flatnonzero(frequency == letter)
        scores[f"AP{letter}"] = average_precision(precision, categories=rows)
    suffix = f"@{max_detections}" if max_detections else ""
    for letter, range_ in (("", ALL), ("s", SMALL), ("m", MEDIUM), ("l", LARGE)):
        scores[f"AR{letter}{suffix}"] = average(recall[:, :, range_])
    return scores


def by_ratio(
    precision: np.ndarray, *, gt_counts: np.ndarray, ranges: Ranges
) -> dict[str, dict[str, float | int | None]]:
    """Scores of every bucket of mask area over box area: AP, AP50, AP75 and the ground truth
    instances in it.

    ``gt_counts (C, R)``.
    """
    by_label: dict[str, dict[str, float | int | None]] = {}
    for bucket, label in enumerate(ranges.ratio_labels):
        range_ = ranges.ratio_range(bucket)
        by_label[label] = {
            "AP": average_precision(precision, range_=range_),
            "AP50": average_precision(precision, range_=range_, iou=0.5),
            "AP75": average_precision(precision, range_=range_, iou=0.75),
            "truths": int(gt_counts[:, range_].sum()),
        }
    return by_label
