"""Run one stage in its folder: done, resume, refuse, or start; ranks of torchrun go together."""

import dataclasses
import gc
import time
from typing import Any

from lvistk import artifacts, console
from lvistk.config.load import to_table
from lvistk.errors import UserError
from lvistk.stages.pipeline_file import StagePlan
from lvistk.stages.specifications.stage import Stage
from lvistk.whole_file import room_for

ORDINARY_COLLECTION = (700, 10, 10)
"""Python's own thresholds: tensors in cycles must not wait as long as modules may (``cli.app.main``)."""


def run_stage(plan: StagePlan, *, force: bool = False, device: str = "auto") -> dict[str, Any]:
    """Run ``plan`` unless it is done; returns the stage's summary.

    device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

    Raises ``UserError`` where an input is missing, or where the folder holds a run with other settings
    or inputs.
    """
    stage = plan.stage
    _require_inputs(plan)
    main = console.is_main_process()
    if not main and not stage.needs_device:
        return {}  # rank 0 does it; the others wait at the next stage's first barrier
    chosen = _join_ranks(device) if stage.needs_device else "cpu"
    if main:
        folder = _open(plan, force=force)
    _barrier(stage)
    if not main:
        manifest = artifacts.read_manifest(plan.out)
        state = "done" if manifest["state"] == "done" else "resume"
        folder = artifacts.StageFolder(plan.out, stage.command, state, manifest)
    _barrier(stage)
    if folder.state == "done":
        console.say(f"{plan.name}: done ({plan.out})")
        return folder.manifest.get("summary", {})
    doing = "resuming" if folder.state == "resume" else "running"
    console.say(f"{plan.name}: {doing} ({plan.out})")
    started = time.monotonic()
    try:
        with room_for(plan.out):
            summary = _call(plan, folder, device=chosen)
        _barrier(stage)
        if main:
            seconds = folder.manifest.get("seconds", 0.0) + time.monotonic() - started
            folder.manifest["seconds"] = round(seconds, 1)
            present = [name for name in stage.outputs if folder.file(name).exists()]
            folder.finish(outputs=present, summary=summary)
    finally:
        folder.close()
    console.say(f"{plan.name}: finished in {console.seconds(time.monotonic() - started)}")
    return summary


def _call(plan: StagePlan, folder: artifacts.StageFolder, *, device: str) -> dict[str, Any]:
    if plan.stage.needs_device:
        return plan.stage.run(plan.settings, plan.inputs, folder, device=device)
    return plan.stage.run(plan.settings, plan.inputs, folder)


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


def _require_inputs(plan: StagePlan) -> None:
    for name in plan.stage.required:
        if getattr(plan.inputs, name) in (None, ()):
            option = "--" + name.replace("_", "-")
            raise UserError(
                f"{plan.name} ({plan.command}) needs the input '{name}': give {option} or, in a "
                f"pipeline file, [data] {name} or inputs of [stage.{plan.name}]"
            )


def _join_ranks(device: str) -> str:
    """The device of this process; joins the process group where torchrun started several."""
    from lvistk import distributed  # imports torch

    gc.set_threshold(*ORDINARY_COLLECTION)
    chosen = distributed.choose_device(device)
    distributed.start(chosen)
    return str(chosen)


def _barrier(stage: Stage) -> None:
    if stage.needs_device:
        from lvistk import distributed  # imports torch

        distributed.barrier()
