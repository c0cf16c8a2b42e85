"""One stage by itself, from a pipeline file or from options alone."""

from pathlib import Path
from typing import Any

from lvistk.config.load import nearest
from lvistk.config.pipeline import StagePlan, plan_alone, plan_from_file, stage_name, with_inputs
from lvistk.config.stages import STAGES
from lvistk.errors import UserError


def run_alone(
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
    """Run it unless it is done; ``inputs`` that are None are left to the file."""
    from lvistk.stages.runner import run_stage

    plan = plan_of(command, config=config, stage=stage, out=out, assign=assign)
    run_stage(with_inputs(plan, inputs), force=force, device=device)


def plan_of(
    command: str,
    *,
    config: Path | None,
    stage: str | None,
    out: Path | None,
    assign: list[str] | None,
) -> StagePlan:
    """What ``command`` means with these options; an unknown command is a ``UserError``."""
    if command not in STAGES:
        raise UserError(f"unknown stage '{command}'{nearest(command, STAGES)}")
    if config is not None:
        return plan_from_file(config, command, name=stage, assignments=assign or (), out=out)
    if stage is not None:
        raise UserError("--stage names a stage of a pipeline file: give --config too")
    folder = out or Path("runs") / stage_name(command)
    return plan_alone(command, out=folder, assignments=assign or ())
