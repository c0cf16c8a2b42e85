"""Tables and progress bars on a terminal, drawn with rich; ``console.py`` says what and when."""

import sys
from collections.abc import Sequence
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

WIDEST = 10_000
"""Columns of a terminal that nothing is too wide for."""


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, spare: Sequence[str]
) -> None:
    """The table on standard output, in the first form that the terminal is wide enough for.

    left: columns of text; the others are aligned right. spare: heads of columns that a narrow terminal
    goes without.
    """
    out = Console(highlight=False, soft_wrap=True)
    for lines, without in ((True, ()), (False, ()), (False, spare)):
        drawn = _draw(heads, rows, left=left, lines=lines, without=without)
        if out.measure(drawn, options=out.options.update(max_width=WIDEST)).maximum <= out.width:
            break
    out.print(drawn)


def _draw(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int,
    lines: bool,
    without: Sequence[str],
) -> Table:
    drawn = Table() if lines else Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    shown = [index for index, head in enumerate(heads) if head not in without]
    for index in shown:
        justify = "left" if index < left else "right"
        drawn.add_column(
            Text(heads[index]), justify=justify, no_wrap=index >= left, overflow="fold"
        )
    for row in rows:
        drawn.add_row(*[Text(row[index]) for index in shown])
    return drawn


class Bar:
    """A progress bar on standard error: share, count, rate, time taken and left, and a note."""

    def __init__(self, label: str, total: int | None, *, done: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        # lines on a terminal appear above the bar; a file gets them as they are
        self._progress = Progress(
            *columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()
        )
        self._task = self._progress.add_task(label, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, *, note: str) -> None:
        """``done`` of the steps are behind us."""
        self._progress.update(self._task, completed=done, note=note)


class _Rate(ProgressColumn):
    def render(self, task: Any) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "-/s", style="cyan")
