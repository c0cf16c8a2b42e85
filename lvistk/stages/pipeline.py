"""Run the stages of a pipeline file in order, and say how far each one is."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from lvistk import artifacts, console
from lvistk.errors import UserError
from lvistk.stages.pipeline_file import Pipeline, StagePlan
from lvistk.stages.runner import run_stage, wanted_of

SCORES = ("AP", "APr", "APc", "APf")


def run_pipeline(
    pipeline: Pipeline,
    *,
    only: tuple[str, ...] = (),
    force: bool = False,
    resume_with_changes: bool = False,
    device: str = "auto",
) -> None:
    """Run what is not done yet.

    only: names of the stages to run; without any, all in order. The rest as ``run_stage``.
    """
    wanted = [pipeline.stage(name) for name in only] or list(pipeline.stages)
    draw_data(pipeline)
    for plan in wanted:
        run_stage(plan, force=force, resume_with_changes=resume_with_changes, device=device)


def draw_data(pipeline: Pipeline) -> None:
    """Draw the data set of ``[generate]``, unless that is done; a file without the table draws nothing."""
    if pipeline.generate is None or not console.is_main_process():
        return
    from lvistk.config.load import update
    from lvistk.data.synthetic import GenerateSettings, generate  # imports OpenCV

    settings = update(GenerateSettings(), pipeline.generate, where="[generate]")
    generate(pipeline.drawn, settings=settings)


def status_rows(folder: Path) -> list[list[object]]:
    """One row per stage folder below ``folder``: name, command, state, inputs, age, time, scores."""
    manifests = sorted(folder.glob(f"*/{artifacts.MANIFEST}"))
    if (folder / artifacts.MANIFEST).is_file():
        manifests = [folder / artifacts.MANIFEST]
    if not manifests:
        raise UserError(f"{folder}: no stage folders in here")
    stages = [(path.parent, artifacts.read_manifest(path.parent)) for path in manifests]
    stages.sort(key=lambda stage: stage[1].get("started", ""))
    return [_status_row(path, manifest) for path, manifest in stages]


def pipeline_rows(pipeline: Pipeline) -> list[list[object]]:
    """As ``status_rows``, in the order of the pipeline file, with stages that never ran."""
    rows: list[list[object]] = []
    for plan in pipeline.stages:
        if (plan.out / artifacts.MANIFEST).is_file():
            row = _status_row(plan.out, artifacts.read_manifest(plan.out))
            row[0], row[2] = plan.name, _state(plan)
            rows.append(row)
        else:
            rows.append([plan.name, plan.command, "not run", "", None, None, *[None] * len(SCORES)])
    return rows


def print_status(rows: list[list[object]], *, title: str) -> None:
    """Scores are in percent, of masks where there are masks."""
    columns = ("stage", "command", "state", "inputs", "age", "time", *SCORES)
    console.table(title, columns, rows, left=4, spare=["inputs"])


def _state(plan: StagePlan) -> str:
    """What ``run`` would find, by the same comparison."""
    try:
        return artifacts.standing(plan.out, wanted_of(plan)).text()
    except UserError:
        return f"stale: {_unusable_input(plan)}"


def _unusable_input(plan: StagePlan) -> str:
    for one in dataclasses.fields(plan.inputs):
        try:
            artifacts.describe_inputs({one.name: getattr(plan.inputs, one.name)})
        except UserError:
            return one.name
    return "inputs"


def _status_row(path: Path, manifest: dict[str, Any]) -> list[object]:
    inputs = ", ".join(sorted(manifest.get("inputs", {})))
    moment = manifest.get("finished") or manifest.get("started")
    age = _age(moment) if moment else None
    took = manifest.get("seconds")
    summary = manifest.get("summary", {})
    scores = [_percent(summary.get(name)) for name in SCORES]
    state = "done" if manifest["state"] == "done" else "unfinished"
    shown = console.seconds(took) if took is not None else None
    return [path.name, manifest["command"], state, inputs, age, shown, *scores]


def _age(moment: str) -> str:
    then = datetime.datetime.fromisoformat(moment)
    return console.seconds((datetime.datetime.now(datetime.UTC) - then).total_seconds())


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f}"
