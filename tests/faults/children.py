"""Commands in forked children, which a test may kill at a chosen change to the disk or moment.

A child starts in a millisecond where a new process would import torch for seconds. The parent must have
no other threads.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = frozenset(("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"))
"""Audit events that change the disk, besides opening a file to write."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    code: its exit code; minus the signal's number where a signal ended it
    said: what it printed, on either stream
    changes: how many changes to the disk it made; None where it was killed
    """

    code: int
    said: str
    changes: int | None

    @property
    def error(self) -> str | None:
        """The one line of a user's mistake; None where it is anything else."""
        lines = [line for line in self.said.splitlines() if line.startswith("error: ")]
        broken = self.code != 2 or len(lines) != 1 or "Traceback" in self.said
        return None if broken else lines[0]


def run_child(
    words: Sequence[object],
    *,
    world: Path,
    log: Path,
    die_at: int = 0,
    die_after: float = 0.0,
    before: Callable[[], None] = lambda: None,
) -> Ended:
    """Run ``lvistk`` with ``words`` in a child.

    world: folder in which changes to the disk are counted
    log: file for what it prints
    die_at: it is killed just before its change to the disk of this number, from 1; 0: never
    die_after: it is killed after so many seconds; 0: never
    before: called in the child before the command
    """
    count = log.with_suffix(".count")
    count.unlink(missing_ok=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _be_child(words, world=world, log=log, die_at=die_at, before=before)
    if die_after:
        _kill_after(pid, die_after)
    _, status = os.waitpid(pid, 0)
    changes = int(count.read_text()) if count.is_file() else None
    said = log.read_text(errors="replace")
    return Ended(os.waitstatus_to_exitcode(status), said, changes)


def _kill_after(pid: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)


def _be_child(
    words: Sequence[object], *, world: Path, log: Path, die_at: int, before: Callable[[], None]
) -> None:
    """Never returns."""
    code = 1
    try:
        with log.open("wb") as handle:
            for stream in (1, 2):
                os.dup2(handle.fileno(), stream)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        before()
        counter = _count_changes(str(world), die_at=die_at)
        code = _main(words)
        log.with_suffix(".count").write_text(str(counter[0]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _main(words: Sequence[object]) -> int:
    from lvistk.cli.entry import main

    sys.argv = ["lvistk", *map(str, words)]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _count_changes(world: str, *, die_at: int) -> list[int]:
    """A list of one number, the changes to the disk below ``world`` from now on."""
    counter = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            changing = isinstance(flags, int) and bool(flags & WRITING)
        elif event in CHANGES:
            path, changing = arguments[0], True
        else:
            return
        if changing and isinstance(path, str | os.PathLike) and os.fspath(path).startswith(world):
            counter[0] += 1
            if counter[0] == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return counter


def load_everything() -> None:
    """Import what the commands need, once, in the parent."""
