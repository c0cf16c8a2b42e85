"""Run one stage in its folder: done, resume, refuse, or start; ranks of torchrun go together."""

import dataclasses
import gc
import importlib
import time
from typing import Any

from lvistk import artifacts, console
from lvistk.config.load import to_table
from lvistk.config.pipeline import StagePlan, stage_name
from lvistk.errors import UserError
from lvistk.whole_file import room_for

TORCH_STAGES = ("train-repr", "pseudo-label", "finetune", "tta-infer")
"""Stages that compute on a device and that torchrun may start on several."""
ORDINARY_COLLECTION = (700, 10, 10)
"""Python's own thresholds: tensors in cycles must not wait as long as modules may (``cli.app.main``)."""


def run_stage(plan: StagePlan, *, force: bool = False, device: str = "auto") -> dict[str, Any]:
    """Run ``plan`` unless it is done; returns the stage's summary.

    ``device`` is ``cpu``, ``cuda``, ``cuda:N`` or ``auto``. Raises ``UserError`` where an input is
    missing, or where the folder holds a run with other settings or inputs.
    """
    module = importlib.import_module(f"lvistk.stages.{stage_name(plan.command)}")
    _require_inputs(plan, module.REQUIRED)
    main = console.is_main_process()
    if not main and plan.command not in TORCH_STAGES:
        return {}  # rank 0 does it; the others wait at the next stage's first barrier
    place = _join_ranks(plan.command, device)
    if main:
        stage = _open(plan, force=force)
    _barrier(plan.command)
    if not main:
        manifest = artifacts.read_manifest(plan.out)
        state = "done" if manifest["state"] == "done" else "resume"
        stage = artifacts.StageFolder(plan.out, plan.command, state, manifest)
    _barrier(plan.command)
    if stage.state == "done":
        console.say(f"{plan.name}: done ({plan.out})")
        return stage.manifest.get("summary", {})
    console.say(f"{plan.name}: {'resuming' if stage.state == 'resume' else 'running'} ({plan.out})")
    started = time.monotonic()
    try:
        with room_for(plan.out):
            summary = module.run(plan.settings, plan.inputs, stage, device=place)
        _barrier(plan.command)
        if main:
            seconds = stage.manifest.get("seconds", 0.0) + time.monotonic() - started
            stage.manifest["seconds"] = round(seconds, 1)
            present = [name for name in module.OUTPUTS if stage.file(name).exists()]
            stage.finish(outputs=present, summary=summary)
    finally:
        stage.close()
    console.say(f"{plan.name}: finished in {console.seconds(time.monotonic() - started)}")
    return summary


def _open(plan: StagePlan, *, force: bool) -> artifacts.StageFolder:
    inputs = {f.name: getattr(plan.inputs, f.name) for f in dataclasses.fields(plan.inputs)}
    return artifacts.StageFolder.open(
        plan.out,
        command=plan.command,
        settings=to_table(plan.settings),
        defaults=_defaults(plan.settings),
        inputs=artifacts.describe_inputs(inputs),
        force=force,
    )


def _defaults(settings: Any) -> dict[str, Any]:
    """The table of a stage's defaults, without a partial one, where a missing key means another thing."""
    table = to_table(type(settings)())
    partial = [f.name for f in dataclasses.fields(settings) if "overrides" in f.metadata]
    return {name: value for name, value in table.items() if name not in partial}


def _require_inputs(plan: StagePlan, required: tuple[str, ...]) -> None:
    for name in required:
        if getattr(plan.inputs, name) in (None, ()):
            option = "--" + name.replace("_", "-")
            raise UserError(
                f"{plan.name} ({plan.command}) needs the input '{name}': give {option} or, in a "
                f"pipeline file, [data] {name} or inputs of [stage.{plan.name}]"
            )


def _join_ranks(command: str, device: str) -> str:
    """The device of this process; joins the process group where torchrun started several."""
    if command not in TORCH_STAGES:
        return "cpu"
    from lvistk import distributed  # imports torch

    gc.set_threshold(*ORDINARY_COLLECTION)
    place = distributed.choose_device(device)
    distributed.start(place)
    return str(place)


def _barrier(command: str) -> None:
    if command in TORCH_STAGES:
        from lvistk import distributed  # imports torch

        distributed.barrier()
