"""One stage by itself, from a pipeline file or from options alone."""

from pathlib import Path
from typing import Any

from lvistk.config.pipeline import plan_alone, plan_from_file, stage_name, with_inputs
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

    if config is not None:
        plan = plan_from_file(config, command, name=stage, assignments=assign or (), out=out)
    elif stage is not None:
        raise UserError("--stage names a stage of a pipeline file: give --config too")
    else:
        folder = out or Path("runs") / stage_name(command)
        plan = plan_alone(command, out=folder, assignments=assign or ())
    run_stage(with_inputs(plan, inputs), force=force, device=device)
