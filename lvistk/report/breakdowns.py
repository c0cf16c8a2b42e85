"""AP by training images per category, by mask area over box area, by recall and by IoU threshold."""

from collections.abc import Mapping, Sequence

import numpy as np

from lvistk.evaluation.metrics import average
from lvistk.evaluation.ranges import IOU_THRESHOLDS, RECALL_THRESHOLDS
from lvistk.percent import in_percent
from lvistk.report.charts import SHOWN, Axis, Series, legend, line_chart, scatter_chart
from lvistk.report.examine import Examined
from lvistk.report.gather import StageRecord
from lvistk.report.markup import Section, escape, figure, grid, lead

TREND_BINS = 7


def count_section(scored: Sequence[StageRecord], colors: Mapping[str, int]) -> Section | None:
    """AP of each category against its training images: points of the last evaluation, trends of all."""
    drawn = [stage for stage in scored if stage.categories][-SHOWN:]
    if not drawn:
        return None
    key = "train_images"
    if not any(row.get(key) for row in drawn[-1].categories):
        key = "truths"
    trends, clouds = [], []
    for stage in drawn:
        color = colors[stage.label]
        points = [
            (row[key], 100 * ap, row)
            for row in stage.categories
            if row.get(key) and (ap := _ap(row)) is not None
        ]
        if not points:
            continue
        counts = np.array([p[0] for p in points], float)
        values = np.array([p[1] for p in points])
        titles = [f"{p[2]['name']}: {p[1]:.1f} AP, {p[0]} {_what(key)}" for p in points]
        clouds.append(Series(stage.label, counts.tolist(), values.tolist(), color, titles))
        trends.append(_trend(stage.label, counts, values, color))
    if not clouds:
        return None
    low = min(min(one.x) for one in clouds)
    high = max(max(one.x) for one in clouds)
    axis = Axis(_what(key), low / 1.15, high * 1.15, log=True)
    figures = [
        figure(
            "AP of every category",
            scatter_chart([clouds[-1]], x=axis, y=_wide(clouds[-1:]), trend=[trends[-1]]),
            note=_cloud_note(clouds[-1]),
        )
    ]
    if len(trends) > 1:
        figures.append(
            figure(
                "Trends of all evaluations",
                line_chart(trends, x=axis, y=_wide(trends)),
                note=legend(trends),
            )
        )
    text = (
        f"AP against {_what(key)}. The less the line falls to the left, the better the rare "
        "categories were learnt."
    )
    return Section("counts", "The long tail", lead(text) + grid(figures))


def _cloud_note(cloud: Series) -> str:
    none = sum(value == 0 for value in cloud.y)
    zero = f", {none} of them at 0" if none else ""
    return escape(
        f"{cloud.name}: {len(cloud.x)} categories{zero}; the line joins means of groups of categories"
    )


def ratio_section(scored: Sequence[StageRecord], colors: Mapping[str, int]) -> Section | None:
    """Mask AP and box AP by mask area over box area; thin instances are on the left."""
    drawn = [stage for stage in scored if stage.metrics.get("segm_by_area_ratio")][-SHOWN:]
    if not drawn:
        return None
    lines, gaps = [], []
    for stage in drawn:
        color = colors[stage.label]
        buckets = stage.metrics["segm_by_area_ratio"]
        middles = [_middle(label) for label in buckets]
        masks = [in_percent(one.get("AP")) for one in buckets.values()]
        boxes = [in_percent(one.get("box_AP")) for one in buckets.values()]
        gts = [one.get("truths", 0) for one in buckets.values()]
        tips = [
            f"{label}: {n} ground truth instances" for label, n in zip(buckets, gts, strict=True)
        ]
        lines.append(Series(f"{stage.label}, masks", middles, masks, color, tips))
        if any(value is not None for value in boxes):
            lines.append(Series(f"{stage.label}, boxes", middles, boxes, color, tips, dashed=True))
            gap = [
                None if a is None or b is None else a - b for a, b in zip(boxes, masks, strict=True)
            ]
            gaps.append(Series(stage.label, middles, gap, color, tips))
    x = Axis("mask area / box area", 0, 1, exact=True)
    figures = [
        figure(
            "AP of masks and of boxes", line_chart(lines, x=x, y=_wide(lines)), note=legend(lines)
        )
    ]
    if gaps:
        figures.append(
            figure(
                "What the mask loses: box AP − mask AP",
                line_chart(gaps, x=x, y=_wide(gaps)),
                note=legend(gaps),
            )
        )
    text = (
        "AP by the share of its box that an instance fills. Thin and ragged instances are on the left: "
        "coarse feature maps lose them, and the paper's mask assignment and losses are made for them."
    )
    return Section("ratio", "Thin objects", lead(text) + grid(figures))


def precision_section(examined: Sequence[Examined], colors: Mapping[str, int]) -> Section | None:
    """Precision over recall at IoU 0.5 and 0.75, and by frequency group."""
    if not examined:
        return None
    drawn = list(examined[-SHOWN:])
    x = Axis("recall", 0, 100, exact=True)
    recall = (100 * RECALL_THRESHOLDS).tolist()
    figures = []
    for threshold, name in ((0, "0.5"), (5, "0.75")):
        lines = [
            Series(one.label, recall, _mean_precision(one, threshold, None), colors[one.label])
            for one in drawn
        ]
        chart = line_chart(lines, x=x, y=_wide(lines))
        figures.append(figure(f"IoU {name}", chart, note=legend(lines)))
    last = drawn[-1]
    groups = [
        Series(name, recall, _mean_precision(last, 0, letter), k)
        for k, (letter, name) in enumerate((("f", "frequent"), ("c", "common"), ("r", "rare")))
    ]
    groups = [one for one in groups if any(value is not None for value in one.y)]
    if groups:
        figures.append(
            figure(
                f"Groups at IoU 0.5: {last.label}",
                line_chart(groups, x=x, y=_wide(groups)),
                note=legend(groups),
            )
        )
    figures.append(_by_threshold(drawn, colors))
    text = (
        "Precision over recall in percent, the mean of all categories that are in the ground truth."
    )
    return Section("precision", "Precision and recall", lead(text) + grid(figures))


def _by_threshold(drawn: Sequence[Examined], colors: Mapping[str, int]) -> str:
    """AP at each IoU threshold."""
    lines = [
        Series(
            one.label,
            IOU_THRESHOLDS.tolist(),
            [in_percent(average(at)) for at in one.precision],
            colors[one.label],
            [f"{one.label}: IoU {iou:.2f}" for iou in IOU_THRESHOLDS],
        )
        for one in drawn
    ]
    x = Axis("IoU", 0.5, 0.95, exact=True)
    return figure("AP at each IoU", line_chart(lines, x=x, y=_wide(lines)), note=legend(lines))


def _mean_precision(one: Examined, threshold: int, group: str | None) -> list[float | None]:
    """Mean precision of the categories at each recall threshold, in percent.

    threshold: index of the IoU threshold
    group: frequency of the categories, or None for all
    """
    precision = one.precision[threshold]
    if group is not None:
        precision = precision[:, one.frequency == group]
    return [in_percent(average(row)) for row in precision]


def _trend(name: str, counts: np.ndarray, values: np.ndarray, color: int) -> Series:
    """Mean AP of groups of equally many categories, at the geometric mean of their counts."""
    order = np.argsort(counts, kind="stable")
    parts = np.array_split(order, min(TREND_BINS, max(len(order) // 2, 1)))
    x = [float(np.exp(np.log(counts[part]).mean())) for part in parts]
    return Series(name, x, [float(values[part].mean()) for part in parts], color)


def _wide(series: Sequence[Series]) -> Axis:
    values = [value for one in series for value in one.y if value is not None] or [0.0]
    return Axis("", min(0.0, *values), max(1.0, *values))


def _middle(label: str) -> float:
    low, high = label.split("-")
    return (float(low) + float(high)) / 2


def _ap(row: dict) -> float | None:
    return row.get("segm_AP", row.get("bbox_AP"))


def _what(key: str) -> str:
    return "training images" if key == "train_images" else "instances"
