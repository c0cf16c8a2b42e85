"""The six stages of the method."""

from pathlib import Path
from typing import Annotated

import typer

from lvistk.cli.alone import run_alone
from lvistk.cli.app import app
from lvistk.cli.options import (
    Assign,
    Config,
    Device,
    Force,
    Missing,
    Model,
    Out,
    Pool,
    Stage,
    Train,
    TrainImages,
    Val,
    ValImages,
)


@app.command("train-repr")
def train_repr(
    config: Config = None,
    stage: Stage = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    device: Device = "auto",
    train: Train = None,
    train_images: TrainImages = None,
    val: Val = None,
    val_images: ValImages = None,
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Model to start from: stage folder or model.safetensors."),
    ] = None,
    missing: Missing = None,
    pseudo: Annotated[
        Path | None,
        typer.Option("--pseudo", help="Pseudo labels: result of pseudo-label --source openimages."),
    ] = None,
    pool: Pool = None,
) -> None:
    """Stage 1: learn the representation (EQL, repeat factor sampling, mosaic, self-training)."""
    inputs = {
        "train": train,
        "train_images": train_images,
        "val": val,
        "val_images": val_images,
        "init": init,
        "missing": missing,
        "pseudo": pseudo,
        "pool": pool,
    }
    run_alone(
        "train-repr",
        config=config,
        stage=stage,
        out=out,
        assign=assign,
        force=force,
        device=device,
        inputs=inputs,
    )


@app.command("pseudo-label")
def pseudo_label(
    config: Config = None,
    stage: Stage = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    device: Device = "auto",
    source: Annotated[
        str | None,
        typer.Option("--source", help="lvis: the training images; openimages: the pool's images."),
    ] = None,
    model: Model = None,
    train: Train = None,
    train_images: TrainImages = None,
    pool: Pool = None,
    pool_list: Annotated[
        Path | None,
        typer.Option("--pool-list", help="Open Images list (CSV or ids) with rotations."),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option("--exclude", help="Annotation file whose images must not be labelled."),
    ] = None,
) -> None:
    """Detect on training or Open Images images; the detections become labels or ignored regions."""
    inputs = {
        "model": model,
        "train": train,
        "train_images": train_images,
        "pool": pool,
        "pool_list": pool_list,
        "exclude": exclude,
    }
    chosen = [*(assign or []), *([f"source={source}"] if source else [])]
    run_alone(
        "pseudo-label",
        config=config,
        stage=stage,
        out=out,
        assign=chosen,
        force=force,
        device=device,
        inputs=inputs,
    )


@app.command("filter-missing")
def filter_missing(
    config: Config = None,
    stage: Stage = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    detections: Annotated[
        Path | None,
        typer.Option("--detections", help="Result of pseudo-label --source lvis."),
    ] = None,
    train: Train = None,
) -> None:
    """Keep the detections on training images that no annotation explains."""
    run_alone(
        "filter-missing",
        config=config,
        stage=stage,
        out=out,
        assign=assign,
        force=force,
        inputs={"detections": detections, "train": train},
    )


@app.command("finetune")
def finetune(
    config: Config = None,
    stage: Stage = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    device: Device = "auto",
    model: Model = None,
    train: Train = None,
    train_images: TrainImages = None,
    val: Val = None,
    val_images: ValImages = None,
    missing: Missing = None,
) -> None:
    """Stage 2: balanced group softmax and better masks on the frozen representation."""
    inputs = {
        "model": model,
        "train": train,
        "train_images": train_images,
        "val": val,
        "val_images": val_images,
        "missing": missing,
    }
    run_alone(
        "finetune",
        config=config,
        stage=stage,
        out=out,
        assign=assign,
        force=force,
        device=device,
        inputs=inputs,
    )


@app.command("tta-infer")
def tta_infer(
    config: Config = None,
    stage: Stage = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    device: Device = "auto",
    model: Model = None,
    val: Val = None,
    val_images: ValImages = None,
) -> None:
    """Detect with several scales and flips, merge them, and write detections and LVIS results."""
    run_alone(
        "tta-infer",
        config=config,
        stage=stage,
        out=out,
        assign=assign,
        force=force,
        device=device,
        inputs={"model": model, "val": val, "val_images": val_images},
    )


@app.command("evaluate")
def evaluate(
    gt: Annotated[
        Path | None,
        typer.Argument(
            metavar="GROUND_TRUTH",
            help="LVIS annotation file: the ground truth.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Argument(
            help="Results JSON of any detector, a detection store, or a tta-infer folder.",
            show_default=False,
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            "--boxes", help="Second results JSON, where boxes are in a file of their own."
        ),
    ] = None,
    config: Config = None,
    stage: Stage = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
) -> None:
    """Score results by the official LVIS protocol; writes metrics.json."""
    run_alone(
        "evaluate",
        config=config,
        stage=stage,
        out=out,
        assign=assign,
        force=force,
        inputs={"val": gt, "detections": results, "boxes": boxes},
    )
