"""Run the stages of a pipeline file in order, and say how far each one is."""

import dataclasses
import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lvistk import artifacts, console
from lvistk.artifacts import Portion
from lvistk.errors import UserError
from lvistk.percent import percent_text
from lvistk.stages.pipelines.pipeline_file import Pipeline
from lvistk.stages.pipelines.runner import run_stage, standing_of
from lvistk.stages.pipelines.stage_plan import StagePlan

if TYPE_CHECKING:
    from lvistk.data.synthetic import GenerateSettings

SCORES = ("AP", "APr", "APc", "APf")


class StatusRow(NamedTuple):
    """How far a stage is.

    stage, command: its names
    state: ``done``, ``unfinished``, ``not run``, or what is stale
    inputs: names of the given inputs
    age: seconds since it ended, or since it began
    seconds: that it ran
    scores: AP, APr, APc, APf of masks (else of boxes), 0 to 1, as far as they are known
    """

    stage: str
    command: str
    state: str
    inputs: Sequence[str] = ()
    age: float | None = None
    seconds: float | None = None
    scores: Mapping[str, float | None] = {}


def run_pipeline(
    pipeline: Pipeline,
    *,
    only: tuple[str, ...] = (),
    force: bool = False,
    resume_with_changes: bool = False,
    device: str = "auto",
    portion: Portion | None = None,
) -> None:
    """Run what is not done yet.

    only: names of the stages to run; without any, all in order. The rest as ``run_stage``.
    """
    wanted = [pipeline.stage(name) for name in only] or list(pipeline.stages)
    if portion is not None and len(wanted) != 1:
        raise UserError("--shard is for one stage: give --only NAME too")
    draw_data(pipeline, wanted, force=force and not only)
    for plan in wanted:
        run_stage(
            plan,
            force=force,
            resume_with_changes=resume_with_changes,
            device=device,
            portion=portion,
        )


def draw_data(pipeline: Pipeline, wanted: Sequence[StagePlan], *, force: bool = False) -> None:
    """Draw the data set of ``[generate]`` unless that is done or none of the ``wanted`` stages reads it.

    Of several processes that torchrun started the first one draws, and the others wait for it.
    force: draw anew, whatever the folder holds.
    """
    if pipeline.generate is None or not any(plan.reads_below(pipeline.drawn) for plan in wanted):
        return
    if not console.is_main_process():
        while pipeline.undrawn is not None:
            time.sleep(1.0)  # without end: torchrun stops this process if the first one fails
        return
    from lvistk.data.synthetic import generate  # imports OpenCV

    generate(pipeline.drawn, settings=drawing_settings(pipeline.generate), force=force)


def drawing_settings(table: Mapping[str, Any]) -> "GenerateSettings":
    """Of a ``[generate]`` table."""
    from lvistk.config.load import update
    from lvistk.data.synthetic import GenerateSettings  # imports OpenCV

    return update(GenerateSettings(), table, where="[generate]")


def status_rows(folder: Path) -> list[StatusRow]:
    """A line of ``lvistk status`` per stage folder below ``folder``, in the order in which they began."""
    manifests = sorted(folder.glob(f"*/{artifacts.MANIFEST}"))
    if (folder / artifacts.MANIFEST).is_file():
        manifests = [folder / artifacts.MANIFEST]
    if not manifests:
        raise UserError(f"{folder}: no stage folders in here")
    stages = [(path.parent, artifacts.read_manifest(path.parent)) for path in manifests]
    stages.sort(key=lambda stage: stage[1].get("started", ""))
    return [_status_row(path, manifest) for path, manifest in stages]


def pipeline_rows(pipeline: Pipeline) -> list[StatusRow]:
    """As ``status_rows``, in the order of the pipeline file, with stages that never ran."""
    rows = []
    for plan in pipeline.stages:
        if (plan.out / artifacts.MANIFEST).is_file():
            row = _status_row(plan.out, artifacts.read_manifest(plan.out))
            rows.append(row._replace(stage=plan.name, state=_state(plan)))
        else:
            rows.append(StatusRow(plan.name, plan.command, "not run"))
    return rows


def print_status(rows: Sequence[StatusRow], *, title: str) -> None:
    """A table with scores in percent, or JSON."""
    if console.shows_json():
        console.say_json([row._asdict() for row in rows])
        return
    columns = ("stage", "command", "state", "inputs", "age", "time", *SCORES)
    cells = [
        (
            *row[:3],
            ", ".join(row.inputs),
            None if row.age is None else console.seconds(row.age),
            None if row.seconds is None else console.seconds(row.seconds),
            *(percent_text(row.scores.get(name)) for name in SCORES),
        )
        for row in rows
    ]
    console.table(title, columns, cells, left=4, spare=["inputs"])


def _state(plan: StagePlan) -> str:
    """What ``run`` would find, by the same comparison."""
    try:
        return standing_of(plan).text()
    except UserError:
        return f"stale: {_unusable_input(plan)}"


def _unusable_input(plan: StagePlan) -> str:
    for one in dataclasses.fields(plan.inputs):
        try:
            artifacts.describe_inputs({one.name: getattr(plan.inputs, one.name)})
        except UserError:
            return one.name
    return "inputs"


def _status_row(path: Path, manifest: dict[str, Any]) -> StatusRow:
    moment = manifest.get("finished") or manifest.get("started")
    summary = manifest.get("summary", {})
    return StatusRow(
        stage=path.name,
        command=manifest["command"],
        state="done" if manifest["state"] == "done" else "unfinished",
        inputs=sorted(manifest.get("inputs", {})),
        age=_age(moment) if moment else None,
        seconds=manifest.get("seconds"),
        scores={name: summary[name] for name in SCORES if name in summary},
    )


def _age(moment: str) -> float:
    """Seconds since an ISO date."""
    then = datetime.datetime.fromisoformat(moment)
    return (datetime.datetime.now(datetime.UTC) - then).total_seconds()
