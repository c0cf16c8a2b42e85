"""What a person sees: lines, tables, progress. The one module that prints.

Without a terminal all of it is plain text, written here; ``terminal.py`` draws for a terminal.
"""

import contextlib
import itertools
import json
import os
import re
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lvistk.errors import UserError
from lvistk.whole_file import room_for, whole_file

if TYPE_CHECKING:
    from lvistk.terminal import Bar

COLOURS = {"warning": "33", "error": "1;31", "title": "3"}
"""What a terminal is told before a line (SGR parameters): yellow, bold red, italic."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LINE_SECONDS = 10.0
"""Where there is no terminal, progress becomes a line every so many seconds."""


def is_main_process() -> bool:
    """Whether this is the process that speaks (rank 0 of torchrun, or the only one)."""
    return os.environ.get("RANK", "0") == "0"


_outlives_reader = False
_shows_json = False


def outlive_reader() -> None:
    """From now on a lost reader of standard output or error does not end the process."""
    global _outlives_reader
    _outlives_reader = True


def use_json(on: bool) -> None:
    """Whether results are JSON from now on: ``say`` then goes to standard error."""
    global _shows_json
    _shows_json = on


def shows_json() -> bool:
    """Whether whoever has results to show gives them to ``say_json`` and prints no tables."""
    return _shows_json


def say(text: str) -> None:
    """One line of information on standard output, from the main process only."""
    if is_main_process():
        _write(sys.stderr if _shows_json else sys.stdout, plain(text))


def say_json(value: Any) -> None:
    """A result as one line of JSON on standard output, from the main process only."""
    if is_main_process():
        _write(sys.stdout, json.dumps(value, allow_nan=False))


def log(text: str) -> None:
    """A line about how a run goes on; with date and time if standard output is no terminal."""
    stream = sys.stderr if _shows_json else sys.stdout
    say(text if stream.isatty() else f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")


def warn(text: str) -> None:
    """One line that a user should read, on standard error."""
    if is_main_process():
        _write(sys.stderr, f"warning: {plain(text)}", colour="warning")


def fail(text: str) -> None:
    """The one line of a user's error, on standard error."""
    _write(sys.stderr, f"error: {plain(' '.join(text.split()))}", colour="error")


def _write(stream: TextIO, text: str, *, colour: str = "") -> None:
    """``text`` as a line of its own, in colour if the stream is a terminal that shows colours."""
    dull = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    if colour and stream.isatty() and not dull:
        text = f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        _lose_reader(stream)


def _lose_reader(stream: TextIO) -> None:
    """The reader has gone (``lvistk ... | head``): end the process quietly unless it has a run to finish."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if not _outlives_reader:
        raise SystemExit(1)


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
    As JSON it is an object of ``title`` and ``rows``, whose keys are the columns (``name`` if one has none).
    """
    if not is_main_process():
        return
    if _shows_json:
        say_json({"title": title, "rows": [_json_row(columns, row) for row in rows]})
        return
    if title:
        _write(sys.stdout, plain(title), colour="title")
    cells = [[plain(cell(value)) for value in row] for row in rows]
    heads = [plain(name) for name in columns]
    if sys.stdout.isatty():
        from lvistk.terminal import print_table  # imports rich

        print_table(heads, cells, left=left, spare=spare)
    else:
        _write(sys.stdout, "\n".join(_table_lines(heads, cells, left=left)))


def _json_row(columns: Sequence[str], row: Sequence[object]) -> dict[str, object]:
    numbers = [None if isinstance(v, float) and not _is_finite(v) else v for v in row]
    shown = [v if isinstance(v, int | float | str | None) else str(v) for v in numbers]
    return dict(zip([name or "name" for name in columns], shown, strict=True))


def _table_lines(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int
) -> Iterator[str]:
    """The lines of a table in a file: columns as wide as their widest text, one space between."""
    cut = [[text.expandtabs().split("\n") for text in row] for row in (heads, *rows)]
    widths = [
        max(map(_width, itertools.chain.from_iterable(column))) for column in zip(*cut, strict=True)
    ]
    for number, row in enumerate(cut):
        for line in itertools.zip_longest(*row, fillvalue=""):
            gaps = [" " * (width - _width(text)) for text, width in zip(line, widths, strict=True)]
            pairs = enumerate(zip(line, gaps, strict=True))
            yield " ".join(text + gap if k < left else gap + text for k, (text, gap) in pairs)
        if number == 0:
            yield "─" * (sum(widths) + len(widths) - 1)


def _width(text: str) -> int:
    """Columns that ``text`` takes: letters of East Asia are two wide, accents have no width."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def plain(text: str) -> str:
    """``text`` with its control characters written out: names in files of others must not steer a terminal.

    Line ends and tabs stay.
    """
    return _CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


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


class ProgressLine:
    """What a running step advances; made by ``progress``."""

    def __init__(
        self, *, label: str, total: int | None, done: int, bar: "Bar | None" = None
    ) -> None:
        self._label, self._total, self._bar = label, total, bar
        self._done = self._start_done = done
        self._started: float | None = None
        self._spoken = time.monotonic()
        self._note = ""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Count ``steps`` more; ``note`` is shown beside the bar (losses, rate).

        The rate counts from the end of the first call: until then compilers and loaders start.
        """
        self._done += steps
        if self._started is None:
            self._started, self._start_done = time.monotonic(), self._done
        self._note = note or self._note
        if self._bar is not None:
            self._bar.show(self._done, note=self._note)
            return
        now = time.monotonic()
        if now - self._spoken >= LINE_SECONDS:
            self._spoken = now
            log(self._line(now))

    def _line(self, now: float) -> str:
        total = f"/{self._total}" if self._total else ""
        speed = ""
        if self._started is not None and self._done > self._start_done:
            rate = (self._done - self._start_done) / max(now - self._started, 1e-9)
            speed = f", {rate:.1f}/s"
            if self._total:
                speed += f", {seconds((self._total - self._done) / rate)} left"
        return f"{self._label}: {self._done}{total}{speed} {self._note}".rstrip()


@contextlib.contextmanager
def progress(label: str, total: int | None, *, done: int = 0) -> Iterator[ProgressLine]:
    """A progress bar with rate and remaining time (a line now and then without a terminal)."""
    if not is_main_process() or not sys.stderr.isatty():
        yield ProgressLine(label=label, total=total, done=done)
        return
    from lvistk.terminal import Bar  # imports rich

    with Bar(label, total, done=done) as bar:
        yield ProgressLine(label=label, total=total, done=done, bar=bar)


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
