"""The typer application, and its entry point."""

import sys
from typing import Annotated

import typer

from lvistk import __version__, console
from lvistk.errors import UserError

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
    """Entry point: a user's mistake is one line and exit code 2."""
    try:
        app()
    except UserError as error:
        console.fail(str(error))
        sys.exit(2)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        console.fail(f"{error.filename or 'file'}: {error.strerror or error}")
        sys.exit(2)
