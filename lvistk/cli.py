"""Typer commands: parse, load, run, echo. No logic lives here, and nothing heavy is imported."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lvistk import __version__, console
from lvistk.config.pipeline import (
    load_pipeline,
    plan_alone,
    plan_from_file,
    stage_name,
    with_inputs,
)
from lvistk.errors import UserError

app = typer.Typer(
    name="lvistk",
    help="Instance segmentation with a large, long-tailed vocabulary, stage by stage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Pipeline file (TOML) that gives settings and inputs."),
]
Stage = Annotated[
    str | None,
    typer.Option(
        "--stage", help="Which stage of the pipeline file, where several have the command."
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results.")]
Assign = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="A.B=VALUE", help="Change one setting; may be repeated."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Delete what the folder holds and start from the beginning.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:N, or auto.")]
Train = Annotated[
    list[Path] | None,
    typer.Option("--train", help="LVIS annotation file to train on; may be repeated."),
]
TrainImages = Annotated[
    Path | None, typer.Option("--train-images", help="Folder of the training photos.")
]
Val = Annotated[
    Path | None, typer.Option("--val", help="LVIS annotation file of the validation photos.")
]
ValImages = Annotated[
    Path | None, typer.Option("--val-images", help="Folder of the validation photos.")
]
Model = Annotated[
    Path | None,
    typer.Option("--model", help="A trained model: stage folder or model.safetensors."),
]
Missing = Annotated[
    Path | None, typer.Option("--missing", help="Missing annotations: result of filter-missing.")
]
Pool = Annotated[
    Path | None, typer.Option("--pool", help="Folder of unlabelled Open Images photos.")
]


def _run(
    command: str,
    *,
    config: Path | None,
    stage: str | None,
    out: Path | None,
    assign: list[str] | None,
    force: bool,
    device: str = "cpu",
    inputs: dict[str, Any],
) -> None:
    from lvistk.stages.runner import run_stage

    if config is not None:
        plan = plan_from_file(config, command, name=stage, assignments=assign or (), out=out)
    elif stage is not None:
        raise UserError("--stage names a stage of a pipeline file: give --config too")
    else:
        folder = out or Path("runs") / stage_name(command)
        plan = plan_alone(command, out=folder, assignments=assign or ())
    run_stage(with_inputs(plan, inputs), force=force, device=device)


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
    _run(
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
        typer.Option("--source", help="lvis: the training photos; openimages: the pool's photos."),
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
        typer.Option("--exclude", help="Annotation file whose photos must not be labelled."),
    ] = None,
) -> None:
    """Detect on training or Open Images photos; the detections become labels or ignored regions."""
    inputs = {
        "model": model,
        "train": train,
        "train_images": train_images,
        "pool": pool,
        "pool_list": pool_list,
        "exclude": exclude,
    }
    chosen = [*(assign or []), *([f"source={source}"] if source else [])]
    _run(
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
    """Keep the detections on training photos that no annotation explains."""
    _run(
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
    _run(
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
    _run(
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
    truth: Annotated[
        Path | None, typer.Argument(help="LVIS annotation file: the truth.", show_default=False)
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
    _run(
        "evaluate",
        config=config,
        stage=stage,
        out=out,
        assign=assign,
        force=force,
        inputs={"val": truth, "detections": results, "boxes": boxes},
    )


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
    _run(
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


@app.command("generate")
def generate(
    out: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    images: Annotated[int | None, typer.Option("--images", help="Training photos.")] = None,
    categories: Annotated[int | None, typer.Option("--categories", help="Categories.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same bytes.")] = None,
    val_images: Annotated[
        int | None, typer.Option("--val-images", help="Validation photos.")
    ] = None,
    pool_images: Annotated[
        int | None,
        typer.Option("--pool-images", help="Unlabelled photos, laid out as Open Images."),
    ] = None,
    long_side: Annotated[
        int | None, typer.Option("--long-side", help="Longer side of a photo, in pixels.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that draw.")] = None,
    assign: Assign = None,
    force: Force = False,
) -> None:
    """Draw an LVIS-format data set: long-tailed, federated, with an unlabelled pool."""
    from lvistk.config.load import parse_assignments, update
    from lvistk.data.generated import GenerateSettings
    from lvistk.data.generated import generate as draw

    given = {
        "images": images,
        "categories": categories,
        "seed": seed,
        "val_images": val_images,
        "pool_images": pool_images,
        "long_side": long_side,
        "workers": workers,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    changes |= parse_assignments(assign or ())
    settings = update(GenerateSettings(), changes, where="generate")
    stage = draw(out, settings=settings, force=force)
    console.say(f"generate: done ({out}): {stage.manifest['summary']}")


@app.command("inspect")
def inspect(
    annotations: Annotated[
        list[Path], typer.Argument(help="LVIS annotation files, or detection stores.")
    ],
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the photos: find missing and cut ones."),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Also decode and measure every photo (5 ms each).")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for inspect.json and pictures.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Count categories, groups and area ratios, and name every defect by id."""
    from lvistk.stages.inspect import run

    run(annotations, images, out=out, json=json, decode=decode)


@app.command("convert")
def convert(
    sources: Annotated[
        list[Path], typer.Argument(help="Annotation files, or folders of YOLO photos or LabelMe.")
    ],
    kind: Annotated[
        Literal["coco", "yolo", "labelme", "lvis"],
        typer.Option("--from", help="What the sources are; lvis merges or splits LVIS files."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="JSON to write; with --val-share a folder.")
    ],
    names: Annotated[
        Path | None, typer.Option("--names", help="YOLO's class names: data.yaml or a text file.")
    ] = None,
    exhaustive: Annotated[
        bool,
        typer.Option(
            "--exhaustive/--not-exhaustive",
            help="Whether every instance of every category is annotated.",
        ),
    ] = True,
    frequency: Annotated[
        Literal["count", "keep"],
        typer.Option("--frequency", help="Frequency groups: counted anew, or as the files say."),
    ] = "count",
    val_share: Annotated[
        float, typer.Option("--val-share", help="Share of the photos for val.json; 0: no split.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Chooses the photos of val.json.")] = 0,
) -> None:
    """Turn COCO, YOLO or LabelMe data into LVIS files; merge and split LVIS files."""
    from lvistk.stages.convert import run

    run(
        sources,
        out,
        kind=kind,
        names=names,
        exhaustive=exhaustive,
        frequency=frequency,
        val_share=val_share,
        seed=seed,
    )


@app.command("export")
def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="Detection store or stage folder; for store a JSON; for backbone a model."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="File to write; a store may be a folder.")],
    kind: Annotated[
        Literal["segm", "bbox", "annotations", "store", "backbone"],
        typer.Option(
            "--as",
            help="Results JSON (segm, bbox), annotation JSON, store, or a model's backbone weights.",
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", help="Annotation file that lists photos and categories."),
    ] = None,
    min_score: Annotated[
        float, typer.Option("--min-score", help="Leave out what scores less.")
    ] = 0.0,
    half: Annotated[
        bool, typer.Option("--half", help="Backbone weights in half precision, half the size.")
    ] = False,
) -> None:
    """Turn a detection store into LVIS JSON, JSON into a store, a model into backbone weights."""
    if kind == "backbone":
        from lvistk.stages.export_backbone import run as export_backbone

        export_backbone(source, out, half=half)
        return
    from lvistk.stages.export import run

    run(source, out, kind=kind, annotations=annotations, min_score=min_score)


@app.command("report")
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Pipeline folders, stage folders, or metrics.json of any detector."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="HTML file; without it report.html in the first run."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the photos, where no stage names it."),
    ] = None,
    photos: Annotated[
        int, typer.Option("--photos", min=0, help="Photos shown beside their truth; 0: none.")
    ] = 12,
    threads: Annotated[int, typer.Option("--threads", min=0, help="0: one a core.")] = 0,
) -> None:
    """Write one HTML page about runs: scores, curves, errors, photos, settings."""
    from lvistk.stages.report import run

    run(runs, out, images=images, photos=photos, threads=threads)


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an evaluate stage; with --truth, results.")],
    b: Annotated[Path, typer.Argument(help="The same of what A is compared with.")],
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="LVIS annotation file, where A and B are results."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="Resamples of the photos.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Chooses the resamples.")] = 0,
    level: Annotated[
        float, typer.Option("--level", help="Confidence of the intervals, between 0 and 1.")
    ] = 0.95,
    threads: Annotated[int, typer.Option("--threads", min=0, help="0: one a core.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON file of all differences.")
    ] = None,
) -> None:
    """Differences of B to A with confidence intervals: AP, groups, boxes, categories."""
    from lvistk.stages.compare import run

    run(a, b, truth=truth, samples=samples, seed=seed, level=level, threads=threads, out=out)


@app.command("run")
def run(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline file (TOML).")],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run this stage alone; may be repeated.")
    ] = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Run the stages of a pipeline file that are not done yet, in order."""
    from lvistk.stages.pipeline import run_pipeline

    loaded = load_pipeline(pipeline, assignments=assign or (), out=out)
    run_pipeline(loaded, only=tuple(only or ()), force=force, device=device)


@app.command("status")
def status(
    target: Annotated[
        Path, typer.Argument(help="Pipeline file, or a folder that holds stage folders.")
    ] = Path("runs"),
    out: Out = None,
    assign: Assign = None,
) -> None:
    """Show each stage: state, inputs, age, time, score."""
    from lvistk.stages import pipeline as stages

    if target.suffix == ".toml":
        rows = stages.pipeline_rows(load_pipeline(target, assignments=assign or (), out=out))
    else:
        rows = stages.status_rows(target)
    stages.print_status(rows, title=str(target))


@app.command("demo")
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of data, stages and pictures.")
    ] = (Path("runs/demo")),
    seed: Annotated[int, typer.Option("--seed", help="Seed of training.")] = 0,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Generate data, run the whole pipeline on it, and show scores and pictures (minutes)."""
    from lvistk.stages.demo import demo as run_demo

    run_demo(out, seed=seed, force=force, device=device)


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
