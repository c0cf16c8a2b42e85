"""``lvistk init``: a project file for a folder of data."""

from pathlib import Path
from typing import Annotated

import typer

from lvistk.cli.app import app
from lvistk.cli.options import Device


@app.command("init")
def init(
    data: Annotated[
        Path, typer.Argument(help="Folder of images and annotations; by default this one.")
    ] = Path(),
    hours: Annotated[
        float | None,
        typer.Option("--hours", help="Time for the whole run; default 2 on a CPU, 8 on a GPU."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="Backbone's weights: a file, imagenet (a download), or none; default: what lies here.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--from", help="Detector of another toolbox to start from (import-weights)."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Values of a shipped pipeline, such as htc_r50, not a plan."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the file; write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the lvistk.toml here.")] = False,
    device: Device = "auto",
) -> None:
    """Plan a whole run from the data, and write it as lvistk.toml with the reasons."""
    from lvistk.stages.commands.init import InitOptions, run

    options = InitOptions(
        hours=hours,
        weights=weights,
        checkpoint=checkpoint,
        preset=preset,
        dry_run=dry_run,
        force=force,
        device=device,
    )
    run(data, options)
