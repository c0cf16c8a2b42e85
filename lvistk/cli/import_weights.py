"""Checkpoints of other toolboxes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lvistk.cli.alone import run_alone
from lvistk.cli.app import app
from lvistk.cli.options import Assign, Config, Force, Out, Stage


@app.command("import-weights")
def import_weights(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint of another toolbox: .pkl, .pth or .safetensors.", show_default=False
        ),
    ] = None,
    config: Config = None,
    stage: Stage = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    toolbox: Annotated[
        str | None,
        typer.Option(
            "--toolbox", help="detectron2, mmdetection, torchvision, or auto: by its names."
        ),
    ] = None,
    categories: Annotated[
        Path | None,
        typer.Option(
            "--categories",
            help="Annotation file (or JSON list) of the new model's categories; without it COCO's.",
        ),
    ] = None,
    source_categories: Annotated[
        Path | None,
        typer.Option(
            "--source-categories", help="The same of the checkpoint's, where those are others."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", help="Rows taken over: same (by category id), by_name, or leave_out."
        ),
    ] = None,
    categories_order: Annotated[
        str | None,
        typer.Option(
            "--categories-order", help="Order of the checkpoint's categories: id, or file."
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            "--style",
            help="Input of the backbone: pytorch, caffe (MSRA's), bgr (Caffe2's ResNeXts), or auto.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", help="Leave out names that begin so; may be repeated."),
    ] = None,
) -> None:
    """Make a model of a checkpoint of detectron2, mmdetection or torchvision."""
    given = {
        "toolbox": toolbox,
        "labels": labels,
        "categories_order": categories_order,
        "style": style,
        "drop": json.dumps(drop) if drop else None,
    }
    chosen = [*(assign or []), *(f"{name}={value}" for name, value in given.items() if value)]
    run_alone(
        "import-weights",
        config=config,
        stage=stage,
        out=out,
        assign=chosen,
        force=force,
        inputs={
            "checkpoint": checkpoint,
            "categories": categories,
            "source_categories": source_categories,
        },
    )
