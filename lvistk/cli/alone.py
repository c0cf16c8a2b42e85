"""One stage by itself, from a pipeline file or from options alone."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lvistk import console
from lvistk.artifacts import Portion
from lvistk.config.load import nearest
from lvistk.errors import UserError
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from lvistk.stages.pipelines.stage_plan import (
    StagePlan,
    plan_alone,
    stage_name,
    with_inputs,
    with_settings,
)
from lvistk.stages.specifications import STAGES
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class Shared:
    """What the options that every stage has were given."""

    config: Path | None = None
    stage: str | None = None
    out: Path | None = None
    assign: list[str] | None = None
    force: bool = False
    resume_with_changes: bool = False
    dry_run: bool = False
    json: bool = False
    shard: str | None = None
    device: str = "cpu"


class _Meant(NamedTuple):
    """A stage to run, the pipeline file that it comes from, and the inputs that were typed, by name."""

    plan: StagePlan
    file: Path | None
    typed: Mapping[str, Any]


def run_alone(stage: Stage, given: Mapping[str, Any]) -> None:
    """Run the stage unless it is done.

    given: values by names of options, of ``Shared``, of settings and of inputs; settings and inputs that
    are None are left to the pipeline file.
    """
    from lvistk.stages.pipelines.runner import run_stage

    shared = Shared(**{name: given[name] for name in _names(Shared) if name in given})
    console.use_json(shared.json)
    settings = {name: given[name] for name in stage.options}
    inputs = {name: given[name] for name in _names(stage.inputs)}
    plan, file, typed = _meant(stage.command, shared, settings=settings, inputs=inputs)
    if stage.complete is not None:
        plan = stage.complete(plan, config=file, out=shared.out)
    if file is not None and shared.config is None:
        from lvistk.stages.pipelines.project import origin

        console.say(origin(plan, file, typed=typed))
    drawing = _drawing(plan, file)
    if shared.dry_run:
        from lvistk.stages.forecasts.dry_run import show

        undrawn = drawing and drawing.drawn
        show([plan], device=shared.device, title=f"{plan.name} in {plan.out}", undrawn=undrawn)
        return
    if drawing is not None:
        from lvistk.stages.pipelines.pipeline import draw_data

        draw_data(drawing, [plan])
    run_stage(
        plan,
        force=shared.force,
        resume_with_changes=shared.resume_with_changes,
        device=shared.device,
        portion=Portion.parse(shared.shard) if shared.shard else None,
    )


def _drawing(plan: StagePlan, file: Path | None) -> Pipeline | None:
    """The pipeline of ``file`` if it has data to draw yet that the stage reads."""
    if file is None:
        return None
    pipeline = load_pipeline(file, more={})
    return pipeline if pipeline.undrawn and plan.reads_below(pipeline.undrawn) else None


def _names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def plan_of(command: str, shared: Shared) -> StagePlan:
    """What ``command`` means with these options; an unknown command is a ``UserError``."""
    return _meant(command, shared, settings={}, inputs={}).plan


def _meant(
    command: str, shared: Shared, *, settings: Mapping[str, Any], inputs: Mapping[str, Any]
) -> _Meant:
    """The stage that a command line means: without ``--config`` from the project file, if any."""
    from lvistk.stages.pipelines.one_stage import plan_from_file
    from lvistk.stages.pipelines.project import enter_project, typed_path

    if command not in STAGES:
        raise UserError(f"unknown stage '{command}'{nearest(command, STAGES)}")
    assignments = shared.assign or ()
    typed = {
        name: [typed_path(one) for one in value] if isinstance(value, list) else typed_path(value)
        for name, value in inputs.items()
        if value
    }
    out = None if shared.out is None else typed_path(shared.out)
    file = shared.config or enter_project()
    if file is None:
        if shared.stage is not None:
            raise UserError("--stage names a stage of a pipeline file: give --config too")
        folder = out or Path("runs") / stage_name(command)
        plan = plan_alone(command, out=folder, assignments=assignments)
        return _Meant(with_inputs(with_settings(plan, settings), typed), None, typed)
    plan = plan_from_file(
        file, command, name=shared.stage, assignments=assignments, out=out, options=settings
    )
    plan = with_settings(plan, settings)
    changed = with_inputs(plan, typed)
    has_own = out is not None or plan.stage.complete is not None  # a folder of its own
    if shared.config is None and changed.inputs != plan.inputs and not has_own:
        # the stage's folder is for the file's inputs
        changed = dataclasses.replace(changed, out=plan.out.with_name(f"{plan.out.name}_typed"))
    return _Meant(changed, file, typed)
