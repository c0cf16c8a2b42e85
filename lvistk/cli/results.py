"""Commands about the results of runs: report and compare."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lvistk import console
from lvistk.cli.app import app
from lvistk.cli.options import (
    Json,
    refuse_seeds,
)
from lvistk.errors import UserError


@app.command("report")
def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Pipeline folders, stage folders, or metrics.json of any detector; without any the "
            "project's runs."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="HTML file; without it report.html in the first run."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the images, where no stage names it."),
    ] = None,
    examples: Annotated[
        int,
        typer.Option(
            "--examples", "--photos", min=0, help="Images shown, ground truth beside them; 0: none."
        ),
    ] = 12,
    threads: Annotated[int, typer.Option("--threads", min=0, help="0: one per core.")] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            help="Of a ladder: seeds 0, 1, ... of this number; by default all that have scores.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Of a ladder: show this row; may be repeated."),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records",
            help="Of a ladder: folder in which each score leaves what comparisons need; rows that were run "
            "elsewhere are taken from it. Default: records, beside the stages.",
        ),
    ] = None,
) -> None:
    """Write one HTML page about runs; of a folder of a ladder's pipeline files tables and a picture."""
    from lvistk.stages.pipelines.ladder import find_ladder
    from lvistk.stages.pipelines.project import project_runs, typed_path

    if runs and (ladder := find_ladder(runs[0])):
        from lvistk.stages.pipelines.ladder_report import run as report_ladder

        report_ladder(
            [ladder, *runs[1:]],
            out,
            seeds=seeds,
            records=records,
            only=only or (),
            threads=threads,
        )
        return
    refuse_seeds(seeds)
    for option, given in (("--records", records is not None), ("--only", bool(only))):
        if given:
            raise UserError(f"{option} is for a folder of a ladder's pipeline files")
    from lvistk.stages.commands.report import run

    if not runs:
        out, images = out and typed_path(out), images and typed_path(images)
        runs = project_runs()
    run(runs, out, images=images, examples=examples, threads=threads)


@app.command("compare")
def compare(
    a: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of an evaluate stage; with --ground-truth, results. Without A and B the project's "
            "first and last evaluation."
        ),
    ] = None,
    b: Annotated[Path | None, typer.Argument(help="The same of what A is compared with.")] = None,
    gt: Annotated[
        Path | None,
        typer.Option(
            "--ground-truth", "--truth", help="LVIS annotation file, where A and B are results."
        ),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="Resamples of the images.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Chooses the resamples.")] = 0,
    level: Annotated[
        float, typer.Option("--level", help="Confidence of the intervals, between 0 and 1.")
    ] = 0.95,
    boundary: Annotated[bool, typer.Option("--boundary", help="Compare boundary AP too.")] = False,
    fixed: Annotated[bool, typer.Option("--fixed", help="Compare AP-fixed too.")] = False,
    unknown_images: Annotated[
        Literal["refuse", "drop"] | None,
        typer.Option(
            "--unknown-images",
            help="With --ground-truth: detections in images that it lacks are an error, or left out.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="0: one per core.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON file of all differences.")
    ] = None,
    json: Json = False,
) -> None:
    """Differences of B to A with confidence intervals: AP, groups, boxes, gap, ratios, categories."""
    from lvistk.stages.commands.compare import run
    from lvistk.stages.pipelines.project import project_scores, typed_path

    console.use_json(json)
    if a is None:
        out = out and typed_path(out)
        a, b = project_scores()
    if b is None:
        raise UserError("compare: give two evaluations, A and B; see lvistk compare --help")
    run(
        a,
        b,
        gt=gt,
        samples=samples,
        seed=seed,
        level=level,
        boundary=boundary,
        fixed=fixed,
        unknown_images=unknown_images,
        threads=threads,
        out=out,
    )
