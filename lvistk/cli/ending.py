"""How a command line ends: a user's mistake is one line and exit code 2."""

import sys
from typing import Any, NoReturn

import typer

from lvistk import console
from lvistk.errors import UserError

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""What wrong words on the command line raise: Click's, and newer Typers bring a Click of their own."""


def run_and_exit(app: typer.Typer, name: str) -> NoReturn:
    """Run ``app``, which error messages call ``name``, and leave the process with its exit code."""
    try:
        sys.exit(app(prog_name=name, standalone_mode=False) or 0)
    except UserError as error:
        console.fail(str(error))
        sys.exit(2)
    except _USAGE_ERROR as error:
        if message := error.format_message().rstrip("."):  # without one, the help has been shown
            command = error.ctx.command_path if error.ctx else name
            console.fail(f"{command}: {message}; see {command} --help")
        sys.exit(2)
    except typer.Abort:
        console.fail("stopped")
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        console.fail(f"{error.filename or 'file'}: {error.strerror or error}")
        sys.exit(2)
