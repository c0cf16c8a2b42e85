"""The steps of a ladder as one picture, an SVG file of its own: each row's step beside the paper's."""

import html
from collections.abc import Container, Sequence
from typing import NamedTuple

from lvistk.report.charts import Axis, number
from lvistk.report.ladder import SURE, RowResult, published_step, step_of

PANELS = ("AP", "APr")
LINE = 22
"""Height of a row, in the units of the picture, about a pixel each."""
HEAD, FOOT = 58, 26
EDGE = 8
CHARACTER = 6.8
"""Width of a character of a row's name."""
PANEL, BETWEEN = 250, 28
UP, DOWN, UNSURE = "#1a7f37", "#cf222e", "#57606a"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.small{fill:#57606a}.middle{text-anchor:middle}"
    ".head{font-weight:600}.grid{stroke:#d8dee4}.zero{stroke:#57606a}.paper{fill:#fff;stroke:#8250df;stroke-width:1.6}"
)


class Mark(NamedTuple):
    """A step in one panel, in points.

    mean, low, high: the step and the ends of its 95% interval; None where there is no error to say
    paper: the paper's step
    """

    mean: float
    low: float | None
    high: float | None
    paper: float | None


class PictureRow(NamedTuple):
    """A line of the picture: names of the row and of the one before it, and a mark for each panel."""

    name: str
    over: str
    marks: tuple[Mark | None, ...]


def steps_picture(rows: Sequence[RowResult], shown: Container[str] | None = None) -> str:
    """SVG of each row's step over the first of its ``over`` that has scores; empty where there is none.

    shown: names of the rows that have a line; the rest are there to be compared with. None: all. A dot is
    the mean over the seeds, its line the interval that holds the step with 95% confidence: green above
    zero, red below, grey where zero is in it. A ring is the paper's step.
    """
    named = {row.name: row for row in rows}
    drawn = [row for row in rows if shown is None or row.name in shown]
    lines = [line for row in drawn if (line := _row(row, named)) is not None]
    if not lines:
        return ""
    axes = [_axis(name, [line.marks[k] for line in lines]) for k, name in enumerate(PANELS)]
    left = EDGE + CHARACTER * max(len(_label(line)) for line in lines) + 14
    starts = [left + k * (PANEL + BETWEEN) for k in range(len(PANELS))]
    width = starts[-1] + PANEL + EDGE + 10
    foot = HEAD + LINE * len(lines)
    parts = [_legend(starts[0])]
    for k, (axis, start) in enumerate(zip(axes, starts, strict=True)):
        parts.append(_frame(axis, start, foot))
        parts += [
            _mark(mark, axis, start, _middle(place), title=_label(line))
            for place, line in enumerate(lines)
            if (mark := line.marks[k]) is not None
        ]
    parts += [
        f'<text x="{EDGE}" y="{_middle(place) + 4}">{html.escape(line.name)}'
        f'<tspan class="small" dx="5">over {html.escape(line.over)}</tspan></text>'
        for place, line in enumerate(lines)
    ]
    height = foot + FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'height="{height}" role="img"><title>What each row of the ladder adds</title><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _row(row: RowResult, named: dict[str, RowResult]) -> PictureRow | None:
    over = next((other for other, seeds in row.steps.items() if seeds), None)
    if over is None:
        return None
    first = over == next(iter(row.steps))
    published = published_step(row, named[over]) if first else (None, None)
    marks = []
    for column, paper in zip(PANELS, published, strict=True):
        step = step_of([seed[column] for seed in row.steps[over]])
        if step.mean is None:
            marks.append(None)
            continue
        reach = None if step.error is None else SURE * step.error
        ends = (None, None) if reach is None else (step.mean - reach, step.mean + reach)
        points = [None if value is None else 100 * value for value in (*ends, paper)]
        marks.append(Mark(100 * step.mean, *points))
    return PictureRow(row.name, over, tuple(marks))


def _axis(name: str, marks: Sequence[Mark | None]) -> Axis:
    values = [value for mark in marks if mark is not None for value in mark if value is not None]
    return Axis(f"{name} gained", min([0.0, *values]), max([0.0, *values]))


def _frame(axis: Axis, start: float, foot: int) -> str:
    """The panel's heading, its grid and the numbers below it."""
    heading = f'<text class="head" x="{start}" y="{HEAD - 14}">{html.escape(axis.label)}</text>'
    ticks = [
        f'<line class="{"grid" if tick else "zero"}" x1="{_x(tick, axis, start)}" '
        f'x2="{_x(tick, axis, start)}" y1="{HEAD - 6}" y2="{foot}"/>'
        f'<text class="small middle" x="{_x(tick, axis, start)}" y="{foot + 16}">{number(tick)}</text>'
        for tick in axis.ticks
    ]
    return heading + "".join(ticks)


def _mark(mark: Mark, axis: Axis, start: float, y: float, *, title: str) -> str:
    interval, color = "", UNSURE
    if mark.low is not None and mark.high is not None:
        color = UP if mark.low > 0 else DOWN if mark.high < 0 else UNSURE
        ends = f'x1="{_x(mark.low, axis, start)}" x2="{_x(mark.high, axis, start)}"'
        interval = f'<line {ends} y1="{y}" y2="{y}" stroke="{color}" stroke-width="2"/>'
    ring = "" if mark.paper is None else _ring(_x(mark.paper, axis, start), y)
    dot = f'<circle cx="{_x(mark.mean, axis, start)}" cy="{y}" r="4.2" fill="{color}"/>'
    told = f"<title>{html.escape(title)}: {mark.mean:+.1f}</title>"
    return f"<g>{told}{ring}{interval}{dot}</g>"


def _legend(start: float) -> str:
    y = 18
    return (
        f'<circle cx="{start + 5}" cy="{y - 4}" r="4.2" fill="{UP}"/>'
        f'<line x1="{start - 4}" x2="{start + 14}" y1="{y - 4}" y2="{y - 4}" stroke="{UP}" stroke-width="2"/>'
        f'<text x="{start + 20}" y="{y}">measured, with its 95% interval</text>'
        + _ring(start + 226, y - 4)
        + f'<text x="{start + 236}" y="{y}">the paper</text>'
    )


def _ring(x: float, y: float) -> str:
    return f'<circle class="paper" cx="{x}" cy="{y}" r="4.2"/>'


def _label(line: PictureRow) -> str:
    return f"{line.name} over {line.over}"


def _middle(place: int) -> float:
    return HEAD + LINE * (place + 0.5)


def _x(value: float, axis: Axis, start: float) -> float:
    return round(start + axis.share(value) * PANEL, 1)
