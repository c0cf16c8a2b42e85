"""Run one stage in its folder: done, resume, refuse, or start; ranks of torchrun go together."""

import dataclasses
import gc
import time
from functools import partial
from typing import Any

from lvistk import artifacts, console
from lvistk.config.load import marked, older_table, to_table, update
from lvistk.errors import UserError
from lvistk.no_memory import tell_of_bad_alloc
from lvistk.stages.pipelines.stage_plan import StagePlan
from lvistk.stages.specifications import STAGES
from lvistk.stages.specifications.stage import Stage
from lvistk.whole_file import room_for

ORDINARY_COLLECTION = (700, 10, 10)
"""Python's own thresholds: tensors in cycles must not wait as long as modules may (``cli.entry.main``)."""


def run_stage(
    plan: StagePlan,
    *,
    force: bool = False,
    resume_with_changes: bool = False,
    device: str = "auto",
    portion: artifacts.Portion | None = None,
) -> dict[str, Any]:
    """Run ``plan`` unless it is done; returns the stage's summary.

    force: delete what the folder holds and start anew.
    resume_with_changes: go on though settings that change only the rest of a run differ.
    device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
    portion: make this part of the images alone; a run without it finishes the stage.

    Raises ``UserError`` where an input is missing, or where the folder holds a run with other settings
    or inputs; nothing is deleted then.
    """
    stage = plan.stage
    _require_inputs(plan)
    if portion is not None:
        _require_portions(plan, force=force)
    main = console.is_main_process()
    if not main and not stage.needs_device:
        return {}  # rank 0 does it; the others wait at the next stage's first barrier
    chosen = _join_ranks(device) if stage.needs_device else "cpu"
    if main:
        with room_for(plan.out):
            folder = _open(
                plan, force=force, resume_with_changes=resume_with_changes, portion=portion
            )
    _barrier(stage)
    if not main:
        manifest = artifacts.read_manifest(plan.out)
        state = "done" if manifest["state"] == "done" else "resume"
        folder = artifacts.StageFolder(plan.out, stage.command, state, manifest, portion)
    _barrier(stage)
    if folder.state == "done":
        console.say(f"{plan.name}: done ({plan.out})")
        return folder.manifest.get("summary", {})
    doing = "resuming" if folder.state == "resume" else "running"
    named = f"{plan.name} {portion}" if portion else plan.name
    console.log(f"{named}: {doing} ({plan.out})")
    console.outlive_reader()
    started = time.monotonic()
    try:
        with room_for(plan.out):
            summary = _call(plan, folder, device=chosen)
        _barrier(stage)
        if main and portion is None:
            seconds = folder.manifest.get("seconds", 0.0) + time.monotonic() - started
            folder.manifest["seconds"] = round(seconds, 1)
            present = [name for name in stage.outputs if folder.file(name).exists()]
            folder.finish(outputs=present, summary=summary)
    finally:
        folder.close()
    console.log(f"{named}: finished in {console.seconds(time.monotonic() - started)}")
    return summary


def wanted_of(plan: StagePlan) -> artifacts.Wanted:
    """What the plan's folder is compared with, by ``run`` and by ``status``.

    Raises ``UserError`` where an input that the run reads is not there, not finished or damaged.
    """
    stage = plan.stage
    unread = stage.unread(plan.settings, plan.inputs)
    read = {
        one.name: getattr(plan.inputs, one.name)
        for one in dataclasses.fields(plan.inputs)
        if one.name not in unread
    }
    default = type(plan.settings)()
    rules = artifacts.Rules(
        older=partial(older_table, default),
        operational=marked(default, "operational"),
        changeable=marked(default, "changeable"),
        kept=marked(default, "kept"),
        reopening=marked(default, "reopens"),
        uncounted=(*stage.uncounted, *unread),
    )
    inputs = artifacts.describe_inputs(read, out=plan.out)
    return artifacts.Wanted(plan.command, to_table(plan.settings), inputs, rules)


def standing_of(plan: StagePlan) -> artifacts.Standing:
    """How the plan's folder stands to it: what ``run``, ``status`` and every table go by.

    Raises ``UserError`` where an input that the run reads is not there, not finished or damaged.
    """
    return artifacts.standing(plan.out, wanted_of(plan))


def is_done(plan: StagePlan) -> bool:
    """Whether ``lvistk run`` would leave the stage alone."""
    try:
        return standing_of(plan).is_done
    except UserError:  # an input is not there
        return False


def is_finished(plan: StagePlan) -> bool:
    """Whether the stage's folder holds a finished run, of whatever settings."""
    if not (plan.out / artifacts.MANIFEST).is_file():
        return False
    return artifacts.read_manifest(plan.out)["state"] == "done"


def _require_portions(plan: StagePlan, *, force: bool) -> None:
    if not plan.stage.in_portions:
        able = ", ".join(name for name, one in STAGES.items() if one.in_portions)
        raise UserError(
            f"{plan.name}: --shard divides the images of {able}; run {plan.command} without it"
        )
    if force:
        raise UserError(
            f"{plan.name}: --force would delete what other jobs make; delete {plan.out} before the first "
            "--shard"
        )


def _open(
    plan: StagePlan,
    *,
    force: bool,
    resume_with_changes: bool,
    portion: artifacts.Portion | None,
) -> artifacts.StageFolder:
    """The folder, once everything that the run reads is known to be sound."""
    wanted = wanted_of(plan)
    artifacts.require_apart(plan.out, wanted)
    if force or not artifacts.standing(plan.out, wanted).is_done:
        plan.stage.check(plan.settings, plan.inputs, plan.out)
    return artifacts.StageFolder.open(
        plan.out,
        wanted,
        force=force,
        resume_with_changes=resume_with_changes,
        portion=portion,
    )


def _call(plan: StagePlan, folder: artifacts.StageFolder, *, device: str) -> dict[str, Any]:
    settings = _with_kept(plan.settings, folder.manifest["settings"])
    if plan.stage.needs_device:
        return plan.stage.run(settings, plan.inputs, folder, device=device)
    return plan.stage.run(settings, plan.inputs, folder)


def _with_kept(settings: Any, table: dict[str, Any]) -> Any:
    """``settings`` with the values that the folder's run began with, of those that it keeps."""
    for name in marked(settings, "kept"):
        group, _, key = name.partition(".")
        settings = update(settings, {group: {key: table[group][key]}}, where=artifacts.MANIFEST)
    return settings


def _require_inputs(plan: StagePlan) -> None:
    """Raise ``UserError`` for an input that is not given, or is the result of a stage that has not run."""
    for name in plan.stage.required:
        if getattr(plan.inputs, name) in (None, ()):
            option = plan.stage.argument(name) or "--" + name.replace("_", "-")
            makers = [f"lvistk {typed}" for typed in plan.stage.made_by(name)]
            made = f" (made by {' or '.join(makers)})" if makers else ""
            raise UserError(
                f"{plan.name} ({plan.command}) needs the input '{name}'{made}: give {option} or, in a "
                f"pipeline file, [data] {name} or inputs of [stage.{plan.name}]; lvistk init writes such a "
                "file for your images"
            )
    for name, source in missing_inputs(plan).items():
        steps = ", then ".join(f"lvistk {one.typed}" for one in _unfinished(source))
        raise UserError(
            f"{plan.name} ({plan.command}) needs '{name}' from the stage '{source.name}', which is not "
            f"done: run {steps} first"
        )


def missing_inputs(plan: StagePlan) -> dict[str, StagePlan]:
    """The stages whose results ``plan`` reads and that are not finished, by the input's name."""
    unread = plan.stage.unread(plan.settings, plan.inputs)
    return {
        name: source
        for name, source in plan.sources.items()
        if name not in unread and not is_finished(source)
    }


def _unfinished(plan: StagePlan) -> list[StagePlan]:
    """The stages that must run before what ``plan`` makes is there, itself the last."""
    if is_finished(plan):
        return []
    before = [one for source in plan.sources.values() for one in _unfinished(source)]
    return [*{one.name: one for one in before}.values(), plan]


def _join_ranks(device: str) -> str:
    """The device of this process; joins the process group where torchrun started several."""
    from lvistk import distributed  # imports torch

    gc.set_threshold(*ORDINARY_COLLECTION)
    tell_of_bad_alloc()
    chosen = distributed.choose_device(device)
    distributed.start(chosen)
    return str(chosen)


def _barrier(stage: Stage) -> None:
    if stage.needs_device:
        from lvistk import distributed  # imports torch

        distributed.barrier()
