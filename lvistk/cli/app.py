"""The typer application, and its entry point."""

import gc
import sys
from typing import Annotated, Any

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

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""What wrong words on the command line raise: Click's, and newer Typers bring a Click of their own."""


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
    # imports make a million objects that stay: looking for cycles among them takes 0.4 s of a run
    gc.set_threshold(100_000, 50, 100)
    try:
        sys.exit(app(prog_name=app.info.name, standalone_mode=False) or 0)
    except UserError as error:
        console.fail(str(error))
        sys.exit(2)
    except _USAGE_ERROR as error:
        if message := error.format_message().rstrip("."):  # without one, the help has been shown
            command = error.ctx.command_path if error.ctx else app.info.name
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
    finally:
        if "torch" not in sys.modules:  # its bindings complain at exit of what was not collected
            gc.freeze()
