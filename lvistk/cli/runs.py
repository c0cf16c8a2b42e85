"""Commands about whole runs: run, pipelines, status, settings, demo."""

from pathlib import Path
from typing import Annotated

import typer

from lvistk import console
from lvistk.artifacts import Portion
from lvistk.cli import completion
from lvistk.cli.alone import Shared, plan_of
from lvistk.cli.app import app
from lvistk.cli.options import (
    Assign,
    Config,
    Device,
    DryRun,
    Force,
    Json,
    Out,
    ResumeWithChanges,
    Seeds,
    Shard,
    Stage,
    refuse_seeds,
)
from lvistk.errors import UserError
from lvistk.stages.pipelines.pipeline_file import load_pipeline


@app.command("run")
def run(
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            help="Pipeline file (TOML), a shipped one's name, or a folder of a ladder's files; by default "
            "the project's lvistk.toml."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Run this stage, or row of a folder, alone; may be repeated.",
            autocompletion=completion.stages_of_file,
        ),
    ] = None,
    out: Out = None,
    assign: Assign = None,
    force: Force = False,
    resume_with_changes: ResumeWithChanges = False,
    dry_run: DryRun = False,
    json: Json = False,
    shard: Shard = None,
    device: Device = "auto",
    seeds: Seeds = None,
) -> None:
    """Run the stages of a pipeline file, or of a folder of them, that are not done yet, in order."""
    from lvistk.stages.pipelines.ladder import (
        chosen_rows,
        distinct_stages,
        find_ladder,
        load_ladder,
        run_ladder,
    )
    from lvistk.stages.pipelines.pipeline import run_pipeline
    from lvistk.stages.pipelines.project import require_project, typed_path

    console.use_json(json)
    if pipeline is None:
        out = out and typed_path(out)
        pipeline = require_project("PIPELINE")
    if ladder := find_ladder(pipeline):
        if force or resume_with_changes or shard:
            raise UserError(
                f"{pipeline}: a folder takes no --force, --resume-with-changes or --shard; give one of its "
                "files"
            )
        rows = load_ladder(ladder, seeds=seeds or 1, assignments=assign or (), out=out)
        rows = chosen_rows(rows, only or ())
        if dry_run:
            from lvistk.stages.forecasts.dry_run import show

            title = f"{pipeline}, {len(rows)} row{'s' * (len(rows) > 1)}"
            undrawn = rows[0].seeds[0].undrawn
            show(distinct_stages(rows), device=device, title=title, undrawn=undrawn)
            return
        run_ladder(rows, device=device)
        return
    refuse_seeds(seeds)
    loaded = load_pipeline(pipeline, assignments=assign or (), out=out)
    if dry_run:
        from lvistk.stages.forecasts.dry_run import show

        plans = [loaded.stage(name) for name in only or ()] or list(loaded.stages)
        title = f"{pipeline}, results in {loaded.out}"
        show(plans, device=device, title=title, undrawn=loaded.undrawn)
        return
    run_pipeline(
        loaded,
        only=tuple(only or ()),
        force=force,
        resume_with_changes=resume_with_changes,
        device=device,
        portion=Portion.parse(shard) if shard else None,
    )


@app.command("pipelines")
def pipelines(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Pipeline to copy; without it they are listed.",
            autocompletion=completion.pipelines,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File of the copy, by default NAME.toml.")
    ] = None,
    json: Json = False,
) -> None:
    """List the pipelines that come with lvistk, or copy one to change it."""
    console.use_json(json)
    from lvistk.stages.pipelines.shipped import copy_pipeline, list_pipelines

    if name is None:
        list_pipelines()
    else:
        copy_pipeline(name, out)


@app.command("status")
def status(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="Pipeline file, a folder of stage folders or of a ladder's pipeline files; by default "
            "the project's lvistk.toml, else runs."
        ),
    ] = None,
    out: Out = None,
    assign: Assign = None,
    json: Json = False,
    seeds: Seeds = None,
) -> None:
    """Show each stage: state, inputs, age, time, scores; of a ladder each row."""
    console.use_json(json)
    from lvistk.stages.pipelines import pipeline as stages
    from lvistk.stages.pipelines.ladder import find_ladder, load_ladder, print_ladder
    from lvistk.stages.pipelines.project import enter_project, typed_path
    from lvistk.stages.pipelines.shipped import shipped_file

    if target is None:
        out = out and typed_path(out)
        target = enter_project() or Path("runs")
    if ladder := find_ladder(target):
        rows = load_ladder(ladder, seeds=seeds or 1, assignments=assign or (), out=out)
        print_ladder(rows, title=str(target))
        return
    refuse_seeds(seeds)
    if target.suffix == ".toml" or (not target.exists() and shipped_file(str(target))):
        loaded = load_pipeline(target, assignments=assign or (), out=out, more={})
        lines = stages.pipeline_rows(loaded) or stages.status_rows(loaded.out)
    else:
        lines = stages.status_rows(target)
    stages.print_status(lines, title=str(target))


@app.command("settings")
def settings(
    command: Annotated[
        str,
        typer.Argument(
            help="A stage's command: train-repr, tta-infer, ...",
            autocompletion=completion.stage_commands,
        ),
    ],
    config: Config = None,
    stage: Stage = None,
    assign: Assign = None,
) -> None:
    """Show every setting of a stage, its value and meaning, as TOML for a pipeline file."""
    from lvistk.config.describe import stage_toml

    plan = plan_of(command, Shared(config=config, stage=stage, assign=assign))
    console.say(stage_toml(plan.settings, name=plan.name, command=plan.command))


@app.command("demo")
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of data, stages and pictures.")
    ] = (Path("runs/demo")),
    seed: Annotated[int, typer.Option("--seed", help="Seed of training.")] = 0,
    force: Force = False,
    json: Json = False,
    device: Device = "auto",
) -> None:
    """Generate data, run the whole pipeline on it, and show scores and pictures (minutes)."""
    from lvistk.stages.commands.demo import demo as run_demo

    console.use_json(json)
    run_demo(out, seed=seed, force=force, device=device)
