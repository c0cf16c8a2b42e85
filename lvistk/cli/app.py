"""The Typer application, to which the modules of commands add theirs; and how one is run."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from lvistk import __version__, console
from lvistk.cli.ending import end_process
from lvistk.errors import UserError

app = typer.Typer(
    name="lvistk",
    help="Instance segmentation with a large, long-tailed vocabulary, stage by stage.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: the import of rich takes 0.1 s
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


_USAGE_ERROR: Any = typer.BadParameter.__base__
"""What wrong words on the command line raise: Click's, and newer Typers bring a Click of their own."""


def run_typed(commands: typer.Typer, words: Sequence[str], *, name: str) -> int:
    """Run a command line; returns the exit code. A mistake in it is a ``UserError``.

    name: what messages call the program.
    """
    try:
        return commands(list(words), prog_name=name, standalone_mode=False) or 0
    except _USAGE_ERROR as error:
        message = error.format_message().rstrip(".")
        command = error.ctx.command_path if error.ctx else name
        raise UserError(f"{command}: {message}; see {command} --help") from None
    except typer.Abort:
        raise KeyboardInterrupt from None


def run_and_exit(commands: typer.Typer, *, name: str) -> NoReturn:
    """Run this process's command line and leave the process with its exit code, for scripts."""
    end_process(lambda: run_typed(commands, sys.argv[1:], name=name))
