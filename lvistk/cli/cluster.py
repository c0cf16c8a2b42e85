"""Commands for clusters: snakefile."""

from pathlib import Path
from typing import Annotated

import typer

from lvistk.cli.app import app
from lvistk.cli.options import Assign, Out


@app.command("snakefile")
def snakefile(
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            help="Pipeline file (TOML), or a shipped one's name; by default the project's lvistk.toml."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write, by default NAME.smk here.")
    ] = None,
    shards: Annotated[
        int,
        typer.Option("--shards", min=1, help="Jobs that share the images of a detecting stage."),
    ] = 1,
    out: Out = None,
    assign: Assign = None,
) -> None:
    """Write the stages of a pipeline file as rules of Snakemake, for one host or a cluster."""
    from lvistk.stages.project import require_project, typed_path
    from lvistk.stages.snakefile import write_snakefile

    if pipeline is None:
        out, to = out and typed_path(out), to and typed_path(to)
        pipeline = require_project("PIPELINE")
    write_snakefile(pipeline, to=to, shards=shards, assignments=assign or (), out=out)
