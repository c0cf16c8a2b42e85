"""The typer application, and its entry point."""

import gc
import sys
from typing import Annotated

import typer

from lvistk import __version__, console
from lvistk.cli.ending import run_and_exit

app = typer.Typer(
    name="lvistk",
    help="Instance segmentation with a large, long-tailed vocabulary, stage by stage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        console.say(f"lvistk {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Instance segmentation with a large, long-tailed vocabulary, stage by stage."""


def main() -> None:
    """Entry point of ``lvistk``."""
    # imports make a million objects that stay: looking for cycles among them takes 0.4 s of a run
    gc.set_threshold(100_000, 50, 100)
    try:
        run_and_exit(app, "lvistk")
    finally:
        if "torch" not in sys.modules:  # its bindings complain at exit of what was not collected
            gc.freeze()
