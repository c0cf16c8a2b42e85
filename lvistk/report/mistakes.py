"""Kinds of error, and the best and worst categories."""

from collections.abc import Mapping, Sequence
from typing import Any

from lvistk.report.charts import SHOWN, Axis, Series, bar_chart, legend
from lvistk.report.errors import FOREGROUND
from lvistk.report.examine import Examined
from lvistk.report.gather import StageRecord
from lvistk.report.markup import (
    Section,
    escape,
    figure,
    grid,
    lead,
    meter,
    percent,
    signed,
    table,
)

EXPLAINED = {
    "classification": "an instance of another category",
    "localisation": "right category, but mask or box too far off",
    "both": "wrong category, and too far off",
    "duplicate": "an instance that is detected already",
    "background": "nothing is annotated there",
    "missed": "an annotated instance without a detection",
}
SHORT = ("class", "local.", "both", "duplic.", "backgr.", "missed")
LISTED = 10
FREQUENCIES = ("rare", "common", "frequent")
"""In the order of ``Errors.named``."""


def error_section(examined: Sequence[Examined], colors: Mapping[str, int]) -> Section | None:
    """What each kind of error costs in AP50, and the number of its errors."""
    if not examined:
        return None
    drawn = list(examined[-SHOWN:])
    last = drawn[-1]
    series = [
        Series(
            one.label,
            range(len(SHORT)),
            [None if kind.gain is None else 100 * kind.gain for kind in one.errors.kinds],
            colors[one.label],
            [
                f"{one.label}: {kind.count} {kind.name}, {signed(100 * (kind.gain or 0))} AP50"
                for kind in one.errors.kinds
            ],
        )
        for one in drawn
    ]
    values = [value for one in series for value in one.y if value is not None] or [0.0]
    chart = figure(
        f"AP50 gained if one kind were mended (IoU {FOREGROUND})",
        bar_chart(SHORT, series, y=Axis("", min(0.0, *values), max(1.0, *values))),
        note=legend(series) + "points",
    )
    top = max((kind.gain or 0.0 for kind in last.errors.kinds), default=0.0) or 1.0
    rows = [
        [
            f"{kind.name}<small class='none'>{EXPLAINED[kind.name]}</small>",
            str(kind.count),
            "–" if kind.gain is None else signed(100 * kind.gain),
            meter((kind.gain or 0.0) / top, color=colors[last.label]),
        ]
        for kind in last.errors.kinds
    ]
    listed = table([f"{escape(last.label)}", "errors", "AP50", ""], rows)
    text = (
        "What AP50 would gain if one kind of error did not happen. Only categories that are annotated "
        f"in an image or verified absent there are judged. {last.label} has AP50 "
        f"{percent(last.errors.ap50)}. The gains do not add up: precision counts for more where "
        "recall is high."
    )
    named = [_named(one) for one in drawn if one.errors.named.any()]
    return Section("errors", "What goes wrong", lead(text) + grid([chart, listed, *named]))


def _named(one: Examined) -> str:
    """By frequency, what the best detection on an instance is called: whether the tail is ever named."""
    counts = one.errors.named
    rows = [
        [name, str(total), *(percent(count / total) for count in line)]
        for name, line, total in zip(FREQUENCIES, counts, counts.sum(axis=1), strict=True)
        if total
    ]
    columns = ["instances", "", "own name", *(f"another {name}" for name in FREQUENCIES), "none"]
    note = f"{one.label}: what the best detection on an instance (IoU {FOREGROUND}) is called, in percent"
    return figure(note, table(columns, rows))


def category_section(scored: Sequence[StageRecord]) -> Section | None:
    """The best and worst categories of the last evaluation, and what changed since the first."""
    drawn = [stage for stage in scored if stage.categories]
    if not drawn:
        return None
    first, last = drawn[0], drawn[-1]
    known = [row for row in last.categories if _ap(row) is not None]
    ordered = sorted(known, key=lambda row: (-(_ap(row) or 0.0), -row["truths"]))
    before = {row["category_id"]: _ap(row) for row in first.categories}
    half = min(LISTED, (len(ordered) + 1) // 2)
    compared = before if first is not last else {}
    best = _listed("Best", ordered[:half], compared)
    worst = _listed("Worst", ordered[half:][-half:][::-1], compared)
    figures = [best, worst]
    if compared:
        moved = [row for row in ordered if compared.get(row["category_id"]) is not None]
        moved.sort(key=lambda row: (_ap(row) or 0.0) - (compared[row["category_id"]] or 0.0))
        gained = [row for row in moved[::-1] if _moved(row, compared) > 0][:half]
        lost = [row for row in moved if _moved(row, compared) < 0][:half]
        figures += [_listed("Most gained", gained, compared)] if gained else []
        figures += [_listed("Most lost", lost, compared)] if lost else []
    against = f"; changes since {first.label}" if compared else ""
    text = (
        f"Categories of {last.label} by AP{against}. "
        "With a single instance, a category's AP is all or nothing."
    )
    return Section("categories", "Categories", lead(text) + grid(figures))


def _moved(row: dict[str, Any], before: dict[int, float | None]) -> float:
    return (_ap(row) or 0.0) - (before[row["category_id"]] or 0.0)


def _listed(title: str, rows: Sequence[dict[str, Any]], before: dict[int, float | None]) -> str:
    cells = []
    for row in rows:
        ap = _ap(row) or 0.0
        old = before.get(row["category_id"])
        delta = "" if old is None else signed(100 * (ap - old))
        kind = "up" if delta.startswith("+") else "down" if delta.startswith("−") else "none"
        cells.append(
            [
                f"{escape(str(row['name']).replace('_', ' '))}"
                f" <span class='none'>{row.get('frequency') or ''}</span>",
                str(row["truths"]),
                percent(ap),
                *([f'<span class="{kind}">{delta}</span>'] if before else []),
                meter(ap),
            ]
        )
    columns = [title, "instances", "AP", *(["change"] if before else []), ""]
    return table(columns, cells)


def _ap(row: dict[str, Any]) -> float | None:
    return row.get("segm_AP", row.get("bbox_AP"))
