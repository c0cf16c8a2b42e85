"""Commands about data: generate, inspect, convert, export."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lvistk import console
from lvistk.cli.app import app
from lvistk.cli.options import Assign, Force
from lvistk.whole_file import room_for


@app.command("generate")
def generate(
    out: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    images: Annotated[int | None, typer.Option("--images", help="Training images.")] = None,
    categories: Annotated[int | None, typer.Option("--categories", help="Categories.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same bytes.")] = None,
    val_images: Annotated[
        int | None, typer.Option("--val-images", help="Validation images.")
    ] = None,
    pool_images: Annotated[
        int | None,
        typer.Option("--pool-images", help="Unlabelled images, laid out as Open Images."),
    ] = None,
    long_side: Annotated[
        int | None, typer.Option("--long-side", help="Longer side of an image, in pixels.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that draw.")] = None,
    assign: Assign = None,
    force: Force = False,
) -> None:
    """Draw an LVIS-format data set: long-tailed, federated, with an unlabelled pool."""
    from lvistk.config.load import parse_assignments, update
    from lvistk.data.synthetic import GenerateSettings
    from lvistk.data.synthetic import generate as draw

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
    with room_for(out):
        stage = draw(out, settings=settings, force=force)
    console.say(f"generate: done ({out}): {stage.manifest['summary']}")


@app.command("inspect")
def inspect(
    annotations: Annotated[
        list[Path], typer.Argument(help="LVIS annotation files, or detection stores.")
    ],
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the images: find missing and cut ones."),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Also decode and measure every image (5 ms each).")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for inspect.json and pictures.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Count categories, groups and area ratios, and name every defect by id."""
    from lvistk.stages.commands.inspect import run

    run(annotations, images, out=out, json=json, decode=decode)


@app.command("convert")
def convert(
    sources: Annotated[
        list[Path], typer.Argument(help="Annotation files, or folders of YOLO images or LabelMe.")
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
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            "--prefix",
            help="Folder put before the names of a source's images; once for each source.",
        ),
    ] = None,
    crowds: Annotated[
        Literal["not-exhaustive", "instances"],
        typer.Option(
            "--crowds",
            help="What COCO's crowd regions (iscrowd 1) are: a sign that instances are missing, or "
            "instances, as CVAT and SAM tools write masks.",
        ),
    ] = "not-exhaustive",
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
        float, typer.Option("--val-share", help="Share of the images for val.json; 0: no split.")
    ] = 0.0,
    val: Annotated[
        list[Path] | None,
        typer.Option(
            "--val", help="Source of val.json, where the data are split; may be repeated."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Chooses the images of val.json.")] = 0,
) -> None:
    """Turn COCO, YOLO or LabelMe data into LVIS files; merge and split LVIS files."""
    from lvistk.stages.commands.convert import run

    run(
        sources,
        out,
        kind=kind,
        names=names,
        prefixes=prefix or (),
        crowds=crowds,
        exhaustive=exhaustive,
        frequency=frequency,
        val_share=val_share,
        val_sources=val or (),
        seed=seed,
    )


@app.command("export")
def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="Detection store or stage folder; for store a JSON; for the others a model."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="File to write; a store may be a folder.")],
    kind: Annotated[
        Literal["segm", "bbox", "annotations", "store", "model", "backbone", "card", "onnx"],
        typer.Option(
            "--as",
            help="Results JSON (segm, bbox), annotation JSON, store; of a model itself, its backbone, "
            "card or onnx.",
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", help="Annotation file that lists images and categories."),
    ] = None,
    min_score: Annotated[
        float, typer.Option("--min-score", help="Leave out what scores less.")
    ] = 0.0,
    half: Annotated[
        bool, typer.Option("--half", help="Weights in half precision, half the size.")
    ] = False,
    size: Annotated[
        str,
        typer.Option(
            "--size", help="HEIGHTxWIDTH of the images that an ONNX file takes, or dynamic."
        ),
    ] = "dynamic",
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder or list of images to compare ONNX and torch on."),
    ] = None,
) -> None:
    """Turn a detection store into LVIS JSON, JSON into a store, a model into ONNX, weights or a page."""
    from lvistk.stages.commands.export import ExportOptions, run

    options = ExportOptions(annotations, min_score, half, size, images)
    run(source, out, kind=kind, options=options)
