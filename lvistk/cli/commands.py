"""Every command, read with Typer: the help, completion, and what is wrong on a command line."""

from collections.abc import Sequence
from typing import Any

import typer

from lvistk.cli import stages, data, runs  # isort: skip  (the order of --help)
from lvistk.cli.app import app
from lvistk.errors import UserError

__all__ = ["app", "data", "run_typed", "runs", "stages"]

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""What wrong words on the command line raise: Click's, and newer Typers bring a Click of their own."""


for _command in app.registered_commands:  # else Typer cuts what a command does after 50 letters
    _command.short_help = _command.callback.__doc__ if _command.callback else None


def run_typed(words: Sequence[str]) -> int:
    """Run the command line; returns the exit code. A mistake in it is a ``UserError``.

    Without a word the help is shown, and the code is that of a mistake.
    """
    try:
        code = app([*words] or ["--help"], prog_name="lvistk", standalone_mode=False)
        return (code or 0) if words else 2
    except _USAGE_ERROR as error:
        message = error.format_message().rstrip(".")
        command = error.ctx.command_path if error.ctx else "lvistk"
        raise UserError(f"{command}: {message}; see {command} --help") from None
    except typer.Abort:
        raise KeyboardInterrupt from None
