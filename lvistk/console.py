"""What a person sees: lines, tables, progress. The one module that prints."""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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

from lvistk.errors import UserError
from lvistk.whole_file import room_for, whole_file


class _Output(Console):
    """A console whose reader may go (``lvistk ... | head``)."""

    outlives_reader = False

    def on_broken_pipe(self) -> None:
        """Print nothing more; end the process quietly unless it has a run to finish."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):  # a stream without a file
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
        if not _Output.outlives_reader:
            raise SystemExit(1)


def outlive_reader() -> None:
    """From now on a lost reader of standard output or error does not end the process."""
    _Output.outlives_reader = True


_out = _Output(highlight=False, soft_wrap=True)
_err = _Output(stderr=True, highlight=False, soft_wrap=True)
WIDEST = 10_000
"""Columns of a terminal that nothing is too wide for."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LINE_SECONDS = 10.0
"""Where there is no terminal, progress becomes a line every so many seconds."""


def is_main_process() -> bool:
    """Whether this is the process that speaks (rank 0 of torchrun, or the only one)."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str, *, style: str = "") -> None:
    """One line of information on standard output, from the main process only."""
    if is_main_process():
        _out.print(plain(text), style=style or None, markup=False)


def warn(text: str) -> None:
    """One line that a user should read, on standard error."""
    if is_main_process():
        _err.print(f"warning: {plain(text)}", style="yellow", markup=False)


def fail(text: str) -> None:
    """The one line of a user's error, on standard error."""
    _err.print(f"error: {plain(' '.join(text.split()))}", style="bold red", markup=False)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    left: int = 1,
    spare: Sequence[str] = (),
) -> None:
    """A table whose first ``left`` columns are text and whose others are numbers, aligned right.

    A terminal that is too narrow gets it without lines, then without the ``spare`` columns too; text that
    is still too long goes on in the next line. Nothing is cut. A file or pipe gets no lines, at full width.
    """
    if not is_main_process():
        return
    if not _out.is_terminal:
        _out.width = WIDEST
    tries = ((True, ()), (False, ()), (False, spare)) if _out.is_terminal else ((False, ()),)
    for lines, without in tries:
        drawn = _draw(columns, rows, left=left, lines=lines, without=without)
        if _out.measure(drawn, options=_out.options.update(max_width=WIDEST)).maximum <= _out.width:
            break
    if title:
        _out.print(plain(title), style="italic", markup=False)
    _out.print(drawn)


def _draw(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    left: int,
    lines: bool,
    without: Sequence[str],
) -> Table:
    drawn = Table() if lines else Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    shown = [index for index, name in enumerate(columns) if name not in without]
    for index in shown:
        justify = "left" if index < left else "right"
        no_wrap = index >= left
        drawn.add_column(
            Text(plain(columns[index])), justify=justify, no_wrap=no_wrap, overflow="fold"
        )
    for row in rows:
        drawn.add_row(*[Text(plain(cell(row[index]))) for index in shown])
    return drawn


def plain(text: str) -> str:
    """``text`` with its control characters written out: names in files of others must not steer a terminal.

    Line ends and tabs stay.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def cell(value: object, *, digits: int = 2) -> str:
    """A value as a table shows it: floats rounded, undefined ones as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return str(value)


def seconds(value: float) -> str:
    """``95.0`` as ``1:35``."""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Rate(ProgressColumn):
    def render(self, task: Any) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "-/s", style="cyan")


class ProgressLine:
    """What a running step advances; made by ``progress``."""

    def __init__(self, *, label: str, total: int | None, bar: Progress | None, done: int) -> None:
        self._label, self._total, self._bar = label, total, bar
        self._done = self._start_done = done
        self._started = self._spoken = time.monotonic()
        self._note = ""
        self._task = bar.add_task(label, total=total, completed=done, note="") if bar else None

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Count ``steps`` more; ``note`` is shown beside the bar (losses, rate)."""
        self._done += steps
        self._note = note or self._note
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, note=self._note)
            return
        now = time.monotonic()
        if now - self._spoken >= LINE_SECONDS:
            self._spoken = now
            say(self._line(now))

    def _line(self, now: float) -> str:
        rate = (self._done - self._start_done) / max(now - self._started, 1e-9)
        total = f"/{self._total}" if self._total else ""
        left = ""
        if self._total and rate > 0:
            left = f", {seconds((self._total - self._done) / rate)} left"
        return f"{self._label}: {self._done}{total}, {rate:.1f}/s{left} {self._note}".rstrip()


@contextlib.contextmanager
def progress(label: str, total: int | None, *, done: int = 0) -> Iterator[ProgressLine]:
    """A progress bar with rate and remaining time (a line now and then without a terminal)."""
    if not is_main_process() or not _err.is_terminal:
        line = ProgressLine(label=label, total=total, bar=None, done=done)
        yield line
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=_err,
    )
    with bar:
        yield ProgressLine(label=label, total=total, bar=bar, done=done)


class MetricsLog:
    """``metrics.jsonl``: one JSON object per line; lines after ``keep_steps`` are dropped on resume."""

    def __init__(self, path: Path, *, keep_steps: int | None = None) -> None:
        """Raises ``UserError`` where ``path`` is a link, which is not followed."""
        self._path = path
        if path.is_symlink():
            raise UserError(f"{path}: is a link, which a run does not follow; remove it")
        if keep_steps is not None and path.is_file():
            kept = [row for row in read_metrics(path) if row.get("step", 0) <= keep_steps]
            with whole_file(path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))

    def write(self, row: Mapping[str, Any]) -> None:
        """Append ``row``; a value that is not finite is written as null."""
        finite = {
            key: None if isinstance(value, float) and not _is_finite(value) else value
            for key, value in row.items()
        }
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with room_for(self._path), os.fdopen(os.open(self._path, flags, 0o666), "a") as handle:
            handle.write(json.dumps(finite, allow_nan=False) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``, none where it is not there.

    A last line cut by a kill is left out; other lines that are no rows are left out with a warning.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines()
    rows = [_row(line) for line in lines]
    broken = [number for number, row in enumerate(rows, start=1) if row is None]
    if broken and broken != [len(lines)]:
        warn(f"{path}: {len(broken)} broken lines left out, the first is line {broken[0]}")
    return [row for row in rows if row is not None]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("step", 0), int):
        return None
    plain = all(isinstance(value, int | float | str | None) for value in row.values())
    return row if plain else None


def _is_finite(value: float) -> bool:
    return value == value and value not in (float("inf"), float("-inf"))


def flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
