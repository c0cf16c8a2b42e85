"""One stage by itself, from a pipeline file or from options alone."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk.config.load import nearest
from lvistk.errors import UserError
from lvistk.stages.pipeline_file import (
    StagePlan,
    plan_alone,
    plan_from_file,
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
    device: str = "cpu"


def run_alone(stage: Stage, given: Mapping[str, Any]) -> None:
    """Run the stage unless it is done.

    given: values by names of options, of ``Shared``, of settings and of inputs; settings and inputs that
    are None are left to the pipeline file.
    """
    from lvistk.stages.runner import run_stage

    shared = Shared(**{name: given[name] for name in _names(Shared) if name in given})
    plan = plan_of(stage.command, shared)
    plan = with_settings(plan, {name: given[name] for name in stage.options})
    plan = with_inputs(plan, {name: given[name] for name in _names(stage.inputs)})
    run_stage(
        plan,
        force=shared.force,
        resume_with_changes=shared.resume_with_changes,
        device=shared.device,
    )


def _names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def plan_of(command: str, shared: Shared) -> StagePlan:
    """What ``command`` means with these options; an unknown command is a ``UserError``."""
    if command not in STAGES:
        raise UserError(f"unknown stage '{command}'{nearest(command, STAGES)}")
    assignments = shared.assign or ()
    if shared.config is not None:
        return plan_from_file(
            shared.config, command, name=shared.stage, assignments=assignments, out=shared.out
        )
    if shared.stage is not None:
        raise UserError("--stage names a stage of a pipeline file: give --config too")
    folder = shared.out or Path("runs") / stage_name(command)
    return plan_alone(command, out=folder, assignments=assignments)
