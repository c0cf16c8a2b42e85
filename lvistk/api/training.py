"""Stages in Python: run one of them, or all of a pipeline file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk.errors import UserError
from lvistk.stages.pipelines.one_stage import plan_from_file
from lvistk.stages.pipelines.pipeline import draw_data, run_pipeline
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.runner import run_stage
from lvistk.stages.pipelines.stage_plan import StagePlan, with_inputs
from lvistk.stages.specifications import STAGES


@dataclass(frozen=True)
class StageResult:
    """A finished run of a stage.

    name: of the stage in the pipeline file.
    folder: holds its outputs; ``lvistk.load`` takes that of a training.
    summary: what ``stage.json`` keeps of it: steps, last loss, scores.
    """

    name: str
    folder: Path
    summary: Mapping[str, Any]


def train(
    config: str | Path,
    *,
    stage: str,
    assign: Sequence[str] = (),
    inputs: Mapping[str, str | Path | Sequence[str | Path]] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    force: bool = False,
    resume_with_changes: bool = False,
) -> StageResult:
    """Run one stage of a pipeline file unless it is done: a training, or any other.

    Data that the file draws (``[generate]``) and the stage reads are drawn first.

    config: pipeline file, or the name of a shipped one.
    stage: a command such as ``train-repr`` or ``tta-infer``, or the stage's own name in the file.
    assign: changes of settings, ``["optim.lr=0.01"]``, as ``--set`` takes them.
    inputs: paths by the names of the stage's inputs, in place of the file's.
    out: folder of the results, in place of the file's.
    device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
    force: delete what the folder holds and start anew.
    resume_with_changes: go on though settings that change only the rest of a training differ.

    Raises ``UserError`` for a mistake in file, settings or inputs, and where the folder holds another run.
    """
    plan = _plan(Path(config), stage, assign=assign, out=None if out is None else Path(out))
    plan = with_inputs(plan, inputs or {})
    draw_data(load_pipeline(Path(config), more={}), [plan])
    summary = run_stage(plan, force=force, resume_with_changes=resume_with_changes, device=device)
    return StageResult(plan.name, plan.out, summary)


def run(
    config: str | Path,
    *,
    only: Sequence[str] = (),
    assign: Sequence[str] = (),
    out: str | Path | None = None,
    device: str = "auto",
    force: bool = False,
) -> dict[str, Path]:
    """Run the stages of a pipeline file that are not done, in order; returns each one's folder by its name.

    only: names of the stages to run; all by default. The rest as ``train``.
    """
    folder = None if out is None else Path(out)
    pipeline = load_pipeline(Path(config), assignments=assign, out=folder)
    run_pipeline(pipeline, only=tuple(only), force=force, device=device)
    return {plan.name: plan.out for plan in pipeline.stages if not only or plan.name in only}


def _plan(path: Path, stage: str, *, assign: Sequence[str], out: Path | None) -> StagePlan:
    if stage in STAGES:
        return plan_from_file(path, stage, assignments=assign, out=out)
    known = {plan.name: plan.command for plan in load_pipeline(path).stages}
    if stage not in known:
        names = ", ".join([*STAGES, *known])
        raise UserError(f"{path}: no stage '{stage}'; known: {names}")
    return plan_from_file(path, known[stage], name=stage, assignments=assign, out=out)
