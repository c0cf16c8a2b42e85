"""One stage by itself, from a pipeline file or from options alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvistk.cli.options import Shared
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


def run_alone(
    command: str, shared: Shared, *, settings: Mapping[str, Any], inputs: Mapping[str, Any]
) -> None:
    """Run the stage unless it is done; settings and inputs that are None are left to the file."""
    from lvistk.stages.runner import run_stage

    plan = plan_of(command, shared)
    plan = with_inputs(with_settings(plan, settings), inputs)
    run_stage(
        plan,
        force=shared.force,
        resume_with_changes=shared.resume_with_changes,
        device=shared.device,
    )


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
