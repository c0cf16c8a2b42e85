"""The tables of a ladder of experiments: scores with their spread over seeds, steps with their errors."""

import math
import statistics
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lvistk.config.row import RowSettings
from lvistk.percent import percent_text

RATIOS = {
    "AP < .25": "0-0.25",
    "AP .25-.5": "0.25-0.5",
    "AP .5-.75": "0.5-0.75",
    "AP > .75": "0.75-1",
}
"""Column, and the bucket of mask area over box area in metrics.json."""
COLUMNS = ("AP", "APr", "APc", "APf", "box AP", "gap", *RATIOS)
STEP_COLUMNS = ("AP", "APr", "APc", "APf", "box AP", "gap", "AP < .25")
SURE = 1.96
"""Standard errors on either side of a step that hold it with 95% confidence."""

Scores = Mapping[str, float | None]
"""COLUMNS of one row and seed, shares of 1; None is undefined."""


class Spread(NamedTuple):
    """Mean over the seeds and sample standard deviation (n - 1), which one seed does not have.

    Both are None where a seed's value is undefined.
    """

    mean: float | None
    deviation: float | None


class Step(NamedTuple):
    """How far a row is above another one in the same seeds.

    mean: over the seeds. values: of each seed. error: standard error of the mean, of both the choice of
    validation images and the seeds. None where undefined.
    """

    mean: float | None
    values: tuple[float | None, ...]
    error: float | None


class SeedStep(NamedTuple):
    """The difference of two rows in one seed, and its standard error over the validation images."""

    difference: float | None
    error: float | None


@dataclass(frozen=True)
class RowResult:
    """What is known of a row.

    settings: its table [row]. seeds: scores of each seed that is done. steps: by the name of the other
    row, the differences of each column in each seed that both have.
    """

    name: str
    settings: RowSettings
    seeds: Sequence[Scores]
    steps: Mapping[str, Sequence[Mapping[str, SeedStep]]]

    @property
    def title(self) -> str:
        """What tables call the row: the number that its file begins with, if any, and its title."""
        number = self.name.partition("_")[0]
        title = self.settings.title or self.name
        return f"{number} {title}" if number.isdecimal() and self.settings.title else title


def scores_of(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """COLUMNS of a metrics.json; the gap is box AP minus mask AP."""
    segm, ratios = metrics["segm"], metrics["segm_by_area_ratio"]
    return {
        **{name: segm[name] for name in ("AP", "APr", "APc", "APf")},
        "box AP": metrics["bbox"]["AP"],
        "gap": metrics["box_mask_gap"]["AP"],
        **{column: ratios[bucket]["AP"] for column, bucket in RATIOS.items()},
    }


def spread(values: Sequence[float | None]) -> Spread:
    """Mean and deviation of one number over the seeds."""
    defined = [value for value in values if value is not None]
    if not values or len(defined) < len(values):
        return Spread(None, None)
    deviation = statistics.stdev(defined) if len(defined) > 1 else None
    return Spread(statistics.fmean(defined), deviation)


def step_of(seeds: Sequence[SeedStep]) -> Step:
    """The mean step of several seeds.

    All seeds are scored on the same images, whose choice therefore moves them together: its variance is
    the mean of the seeds' own, not divided by their number. That of the seeds comes on top, where there
    are several.
    """
    values = tuple(one.difference for one in seeds)
    mean, deviation = spread(values)
    errors = [one.error for one in seeds]
    if mean is None or not all(error is not None for error in errors):
        return Step(mean, values, None)
    images = statistics.fmean(error**2 for error in errors if error is not None)
    between = 0.0 if deviation is None else deviation**2 / len(values)
    return Step(mean, values, math.sqrt(images + between))


def markdown(rows: Sequence[RowResult], shown: Container[str] | None = None) -> list[str]:
    """Lines of the two tables: scores of each row, and its steps over others.

    shown: names of the rows that have lines; the rest are there to be compared with. None: all. Rows that
    never ran are left out.
    """
    done = [row for row in rows if row.seeds and (shown is None or row.name in shown)]
    named = {row.name: row for row in rows}
    lines = _head("row", "seeds", *COLUMNS, "paper: AP", "APr")
    for row in done:
        cells = [_spread(spread([seed[c] for seed in row.seeds])) for c in COLUMNS]
        paper = row.settings.paper
        published = ["" if one is None else percent_text(one) for one in (paper.AP, paper.APr)]
        lines.append(_line(row.title, str(len(row.seeds)), *cells, *published))
    lines += ["", *_head("step", "over", "seeds", *STEP_COLUMNS, "paper: AP", "APr")]
    for row in done:
        for index, (other, seeds) in enumerate(row.steps.items()):
            if not seeds:
                continue
            cells = [_step(step_of([seed[c] for seed in seeds])) for c in STEP_COLUMNS]
            steps = published_step(row, named[other]) if index == 0 else (None, None)
            published = ["" if one is None else f"{100 * one:+.1f}" for one in steps]
            lines.append(_line(row.title, named[other].title, str(len(seeds)), *cells, *published))
    return lines


def published_step(row: RowResult, over: RowResult) -> tuple[float | None, float | None]:
    """The paper's step of AP and of APr, shares of 1; None where the paper lacks a side of it."""
    after, before = row.settings.paper, row.settings.paper_before
    if before.AP is None:
        before = over.settings.paper
    return _difference(after.AP, before.AP), _difference(after.APr, before.APr)


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _head(*cells: str) -> list[str]:
    return [_line(*cells), f"|{' --- |' * len(cells)}"]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(cell: Spread) -> str:
    if cell.mean is None:
        return "-"
    mean = f"{100 * cell.mean:.1f}"
    return mean if cell.deviation is None else f"{mean} ± {100 * cell.deviation:.1f}"


def _step(cell: Step) -> str:
    """``+1.2 (0.3 to 2.1)``, the interval of 95%."""
    if cell.mean is None:
        return "-"
    mean = f"{100 * cell.mean:+.1f}"
    if cell.error is None:
        return mean
    low, high = cell.mean - SURE * cell.error, cell.mean + SURE * cell.error
    return f"{mean} ({100 * low:.1f} to {100 * high:.1f})"
