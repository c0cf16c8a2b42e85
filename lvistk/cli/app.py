"""The Typer application, to which the modules of commands add theirs."""

from typing import Annotated

import typer

from lvistk import __version__, console

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
