"""Training curves from ``metrics.jsonl``."""

from collections.abc import Sequence
from typing import Any

from lvistk.report.charts import COLORS, Axis, Series, legend, line_chart
from lvistk.report.gather import StageRecord
from lvistk.report.markup import Section, figure, grid, lead

TIMES = ("photos_per_s", "data_share", "memory_gib", "grad_norm", "epoch", "step", "lr")
POINTS = 240
"""Most points of a line; rows of a longer log are averaged in groups."""


def training_section(stages: Sequence[StageRecord]) -> Section | None:
    """Loss, its parts, the learning rate and scores during training, of every stage with a log."""
    logged = [stage for stage in stages if any("loss" in row for row in stage.log)]
    if not logged:
        return None
    figures = [_together(logged)] if len(logged) > 1 else []
    for stage in logged:
        rows = [row for row in stage.log if "loss" in row]
        figures.append(_parts(stage.label, rows))
        scores = [row for row in stage.log if "loss" not in row]
        names = [name for name in ("AP", "APr", "APc", "APf") if _numbers(scores, name)]
        if names:
            figures.append(_scores(stage.label, scores, names))
    figures.append(_rates(logged))
    text = "Losses are means over the steps between two lines of the log; in a long log, over several lines."
    return Section("training", "Training", lead(text) + grid(figures))


def _together(logged: Sequence[StageRecord]) -> str:
    lines = [
        _series(stage.label, [r for r in stage.log if "loss" in r], "loss", k)
        for k, stage in enumerate(logged)
    ]
    return figure("Loss of all stages", _drawn(lines, log=True), note=legend(lines))


def _parts(label: str, rows: list[dict[str, Any]]) -> str:
    names = sorted(
        {n for row in rows for n, v in row.items() if n not in TIMES and _is_number(v)} - {"loss"}
    )
    names.sort(key=lambda name: -sum(v for _, v in _numbers(rows, name)))
    lines = [_series("loss", rows, "loss", 0)]
    lines += [_series(name, rows, name, k + 1) for k, name in enumerate(names[: COLORS - 1])]
    return figure(f"{label}: loss", _drawn(lines, log=True), note=legend(lines))


def _scores(label: str, rows: list[dict[str, Any]], names: Sequence[str]) -> str:
    lines = [_series(name, rows, name, k, scale=100) for k, name in enumerate(names)]
    return figure(f"{label}: scores during training", _drawn(lines), note=legend(lines))


def _rates(logged: Sequence[StageRecord]) -> str:
    lines = [
        _series(stage.label, [r for r in stage.log if "loss" in r], "lr", k)
        for k, stage in enumerate(logged)
    ]
    return figure("Learning rate", _drawn(lines), note=legend(lines))


def _series(
    label: str, rows: list[dict[str, Any]], name: str, color: int, *, scale: float = 1.0
) -> Series:
    points = _thinned(_numbers(rows, name))
    return Series(label, [p[0] for p in points], [scale * p[1] for p in points], color)


def _drawn(lines: Sequence[Series], *, log: bool = False) -> str:
    steps = [x for one in lines for x in one.x] or [0.0]
    values = [y for one in lines for y in one.y if y is not None] or [0.0]
    positive = [value for value in values if value > 0]
    x = Axis("step", 0, max(steps), exact=True)
    if log and positive:
        least = max(min(positive), max(positive) / 1000)
        return line_chart(lines, x=x, y=Axis("", least / 1.1, max(positive) * 1.1, log=True))
    return line_chart(lines, x=x, y=Axis("", 0, max(*values, 1e-6)))


def _numbers(rows: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(row["step"], row[name]) for row in rows if _is_number(row.get(name))]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // POINTS)
    groups = [points[k : k + size] for k in range(0, len(points), max(size, 1))]
    return [(g[-1][0], sum(p[1] for p in g) / len(g)) for g in groups]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
