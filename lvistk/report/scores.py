"""The scores: headline, table with differences, frequency groups, and what each stage added."""

from collections.abc import Mapping, Sequence

from lvistk.percent import in_percent
from lvistk.report.charts import SHOWN, Axis, Series, bar_chart, legend
from lvistk.report.gather import StageRecord
from lvistk.report.markup import (
    Section,
    change,
    escape,
    figure,
    grid,
    lead,
    note,
    percent,
    signed,
    table,
)

COLUMNS = ("AP", "AP50", "AP75", "APr", "APc", "APf", "APs", "APm", "APl")
GROUPS = {"APr": "rare", "APc": "common", "APf": "frequent"}
GAP = "box − mask"
OTHERS = {
    "box AP": ("bbox", "AP"),
    "boundary AP": ("boundary", "AP"),
    "AP fixed": ("segm_fixed", "AP"),
}


def headline(scored: Sequence[StageRecord]) -> str:
    """The last evaluation's scores in large type, with their differences to the first."""
    if not scored:
        return ""
    first, last = scored[0], scored[-1]
    values = [(name, last.scores.get(name), first.scores.get(name)) for name in ("AP", *GROUPS)]
    if "segm" in last.metrics and "bbox" in last.metrics:
        values.append(("box AP", _of(last, "bbox", "AP"), _of(first, "bbox", "AP")))
        values.append((GAP, _of(last, "box_mask_gap", "AP"), _of(first, "box_mask_gap", "AP")))
    boxes = "".join(
        f"<div><b>{percent(value)}</b><span>{name}</span>"
        f"{change(value, before, judged=name != GAP) if first is not last else ''}</div>"
        for name, value, before in values
        if value is not None
    )
    against = f", against {escape(first.label)}" if first is not last else ""
    return (
        f'<div class="figures">{boxes}</div>'
        f'<p class="note">{escape(last.label)}{against}; percent, points.</p>'
    )


def score_section(scored: Sequence[StageRecord]) -> Section:
    """All evaluations in a table, with the difference of each score to the evaluation before."""
    if not scored:
        return Section("scores", "Scores", note("No evaluation among these stages."))
    others = [name for name, (key, _) in OTHERS.items() if any(key in s.metrics for s in scored)]
    rows = []
    for k, stage in enumerate(scored):
        before = scored[k - 1] if k else None
        cells = [
            percent(stage.scores.get(name))
            + (change(stage.scores.get(name), before.scores.get(name)) if before else "")
            for name in COLUMNS
        ]
        for name in others:
            value = _of(stage, *OTHERS[name])
            cells.append(
                percent(value) + (change(value, _of(before, *OTHERS[name])) if before else "")
            )
        rows.append([escape(stage.label), *cells])
    text = "Scores of masks unless named otherwise, in percent, by the LVIS protocol."
    if len(scored) > 1:
        text += " Small numbers are differences to the line above, in points."
    body = lead(text) + table(["evaluation", *COLUMNS, *others], rows)
    warned = [
        f"{stage.label}: {line}" for stage in scored for line in stage.metrics.get("warnings", ())
    ]
    return Section("scores", "Scores", body + "".join(note(line) for line in warned))


def group_section(scored: Sequence[StageRecord], colors: Mapping[str, int]) -> Section | None:
    """APr, APc and APf of every evaluation as bars, and their differences between evaluations."""
    groups = [key for key in GROUPS if any(s.scores.get(key) is not None for s in scored)]
    if not groups:
        return None
    shown = list(scored[-SHOWN:])
    series = [
        Series(
            stage.label,
            range(len(groups)),
            [in_percent(stage.scores.get(key)) for key in groups],
            colors[stage.label],
            [f"{stage.label}: {key} {percent(stage.scores.get(key))}" for key in groups],
        )
        for stage in shown
    ]
    figures = [
        figure(
            "AP of each frequency group",
            bar_chart([GROUPS[key] for key in groups], series, y=_axis(series)),
            note=legend(series) + "percent",
        )
    ]
    if len(shown) > 1:
        figures.append(_added(shown, groups, colors))
    text = "Categories are rare, common or frequent by the number of their training images."
    return Section("groups", "Frequency groups", lead(text) + grid(figures))


def _added(shown: Sequence[StageRecord], groups: Sequence[str], colors: Mapping[str, int]) -> str:
    """Bars of the differences between consecutive evaluations."""
    names = ("AP", *groups)
    series = []
    for k in range(1, len(shown)):
        values: list[float | None] = []
        titles = []
        for key in names:
            a, b = shown[k].scores.get(key), shown[k - 1].scores.get(key)
            points = None if a is None or b is None else 100 * (a - b)
            values.append(points)
            titles.append(f"{shown[k].label}: {key} {signed(points or 0.0)}")
        series.append(
            Series(shown[k].label, range(len(names)), values, colors[shown[k].label], titles)
        )
    return figure(
        "What each evaluation added",
        bar_chart(names, series, y=_axis(series)),
        note=legend(series) + "points more than the evaluation before",
    )


def _axis(series: Sequence[Series]) -> Axis:
    values = [value for one in series for value in one.y if value is not None] or [0.0]
    return Axis("", min(0.0, *values), max(0.0, *values, 0.1))


def _of(stage: StageRecord, key: str, name: str) -> float | None:
    return (stage.metrics.get(key) or {}).get(name)
