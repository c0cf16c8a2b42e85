"""The entry point: a plain command line of a stage is read without Typer, all others with it."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from lvistk import console
from lvistk.cli.ending import end_process
from lvistk.stages.specifications import STAGES


def main() -> NoReturn:
    """Entry point of ``lvistk``."""
    # imports make a million objects that stay: looking for cycles among them takes 0.4 s of a run
    gc.set_threshold(100_000, 50, 100)
    try:
        end_process(lambda: _run([_with_home(word) for word in sys.argv[1:]]))
    finally:
        console.use_json(False)  # for whoever calls again in this process
        if "torch" not in sys.modules:  # its bindings complain at exit of what was not collected
            gc.freeze()


def _with_home(word: str) -> str:
    """``--out=~/runs`` with the home folder; shells replace ``~`` at the beginning of a word only."""
    option, equals, value = word.partition("=")
    if not (equals and option.startswith("--") and value.startswith("~")):
        return word
    return f"{option}={os.path.expanduser(value)}"  # noqa: PTH111  an unknown user's stays as it is


def _run(words: Sequence[str]) -> int:
    """Run the command line; returns the exit code.

    Importing Typer and all commands takes 0.2 s, half of a small evaluation.
    """
    completing = "_LVISTK_COMPLETE" in os.environ
    if words and words[0] in STAGES and not completing:
        from lvistk.cli.stage_line import run_plain

        if run_plain(STAGES[words[0]], words[1:]):
            return 0
    from lvistk.cli.app import run_typed
    from lvistk.cli.commands import app

    if words:
        return run_typed(app, words, name="lvistk")
    run_typed(app, ["--help"], name="lvistk")
    return 2
