"""Commands for clusters: snakefile, plan."""

from pathlib import Path
from typing import Annotated

import typer

from lvistk import console
from lvistk.cli.app import app
from lvistk.cli.options import Assign, Device, Out


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
    from lvistk.stages.pipelines.project import require_project, typed_path
    from lvistk.stages.pipelines.snakefile import write_snakefile

    if pipeline is None:
        out, to = out and typed_path(out), to and typed_path(to)
        pipeline = require_project("PIPELINE")
    write_snakefile(pipeline, to=to, shards=shards, assignments=assign or (), out=out)


@app.command("plan")
def plan(
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            help="Pipeline file (TOML), or a shipped one's name; by default the project's lvistk.toml."
        ),
    ] = None,
    devices: Annotated[
        int,
        typer.Option("--devices", min=1, help="Devices that share each step and each image list."),
    ] = 1,
    train_rate: Annotated[
        float | None,
        typer.Option(
            "--train-rate",
            min=0.001,
            help="Training images per second of one device; else measured.",
        ),
    ] = None,
    infer_rate: Annotated[
        float | None,
        typer.Option(
            "--infer-rate", min=0.001, help="The same at inference in one view; else measured here."
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option("--images", min=1, help="Training images; else counted in the file."),
    ] = None,
    val_images: Annotated[
        int | None, typer.Option("--val-images", min=1, help="Validation images; else counted.")
    ] = None,
    pool_images: Annotated[
        int | None, typer.Option("--pool-images", min=1, help="Images of the pool; else counted.")
    ] = None,
    categories: Annotated[
        int | None, typer.Option("--categories", min=1, help="Categories; else counted.")
    ] = None,
    link: Annotated[
        float, typer.Option("--link", min=0.001, help="GB per second that a device exchanges.")
    ] = 10.0,
    disk: Annotated[
        float, typer.Option("--disk", min=0.001, help="GB per second that the disk takes.")
    ] = 0.5,
    out: Out = None,
    assign: Assign = None,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Estimate what a pipeline takes on N devices: steps, hours, memory, disk, cores."""
    from lvistk.planning.scale import Cluster
    from lvistk.stages.forecasts.scale_plan import Given, show
    from lvistk.stages.pipelines.pipeline import drawing_settings
    from lvistk.stages.pipelines.pipeline_file import load_pipeline
    from lvistk.stages.pipelines.project import require_project

    pipeline = pipeline or require_project("PIPELINE")
    loaded = load_pipeline(pipeline, assignments=assign or (), out=out)
    given = Given(
        images=images,
        val_images=val_images,
        pool_images=pool_images,
        categories=categories,
        train_rate=train_rate,
        infer_rate=infer_rate,
    )
    if loaded.generate is not None and loaded.undrawn is not None:
        told, given = given, given.completed(drawing_settings(loaded.generate))
        if given != told:
            console.warn(f"{loaded.undrawn}: not drawn yet; counted by [generate], without repeats")
    show(
        loaded.stages,
        given,
        Cluster(devices, link_gb_s=link, disk_gb_s=disk),
        device=device,
        title=str(pipeline),
        as_json=json,
    )
