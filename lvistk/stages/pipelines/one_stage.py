"""The stage of a pipeline file that a bare command means: ``lvistk train-repr``.

Of several stages of a command it is the first that is not done and has its inputs. A file without a stage of
the command gives its shared tables, ``[data]``, and the results of its other stages.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lvistk.config.load import nearest
from lvistk.errors import UserError
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from lvistk.stages.pipelines.runner import is_done, is_finished
from lvistk.stages.pipelines.shipped import find_pipeline
from lvistk.stages.pipelines.stage_plan import StagePlan, stage_name
from lvistk.stages.specifications import STAGES

ORDER = (
    "train-repr",
    "pseudo-label --source lvis",
    "pseudo-label --source openimages",
    "filter-missing",
    "finetune",
    "tta-infer",
    "evaluate",
)
"""Commands, as they are typed, in the order of the method."""


def plan_from_file(
    path: Path,
    command: str,
    *,
    name: str | None = None,
    assignments: Sequence[str] = (),
    out: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> StagePlan:
    """The stage of a pipeline file that ``command`` means.

    name: chooses among several stages of the command. options: settings given as options, None for those
    that are not; they choose too where a setting tells such stages apart. out: replaces the stage's folder.
    An assignment may leave the stage's name out: ``optim.lr=0.01``.
    """
    path = find_pipeline(path)
    pipeline = load_pipeline(path, more={})
    apart = {key: (options or {}).get(key) for key in STAGES[command].told_apart_by}
    apart = {key: value for key, value in apart.items() if value is not None}
    more: dict[str, Any] = {}
    if name is None:
        plans = [plan for plan in pipeline.stages if _is_meant(plan, command, apart)]
        if not plans:
            more = _stages_that_lack(path, command, apart)
        chosen = next_stage(plans).name if plans else next(reversed(more))
    else:
        chosen = _named(pipeline, command, name, path)
    own = {field.name for field in dataclasses.fields(STAGES[command].settings)}
    full = [
        f"{chosen}.{text}" if text.partition("=")[0].partition(".")[0] in own else text
        for text in assignments
    ]
    plan = load_pipeline(path, assignments=full, more=more).stage(chosen)
    return dataclasses.replace(plan, out=out) if out else plan


def next_stage(plans: Sequence[StagePlan]) -> StagePlan:
    """The first that is not done and has its inputs, else the first that is not done, else the last."""
    waiting = [plan for plan in plans if not is_done(plan)] if len(plans) > 1 else []
    ready = [plan for plan in waiting if all(is_finished(one) for one in plan.sources.values())]
    return (ready or waiting or [plans[-1]])[0]


def _named(pipeline: Pipeline, command: str, name: str, path: Path) -> str:
    fitting = [plan.name for plan in pipeline.stages if plan.command == command]
    if name not in fitting:
        raise UserError(f"{path}: '{name}' is no {command} stage{nearest(name, fitting)}")
    return name


def _is_meant(plan: StagePlan, command: str, apart: Mapping[str, Any]) -> bool:
    if plan.command != command:
        return False
    return all(getattr(plan.settings, key) == value for key, value in apart.items())


def _stages_that_lack(
    path: Path, command: str, apart: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Stage tables of the method that the file does not have, up to the one of ``command``.

    Each takes what it requires from a stage before it: the last that is finished, else the first.
    """
    tables: dict[str, dict[str, Any]] = {}
    for typed in (*ORDER, command):
        table, name = _table_of(typed, apart if typed == command else {})
        if any(plan.makes(typed) for plan in load_pipeline(path, more=tables).stages):
            continue
        joined = load_pipeline(path, more={**tables, name: table})
        inputs = _chosen_inputs(joined, name)
        tables[name] = {**table, "inputs": inputs} if inputs else table
        if _is_meant(joined.stage(name), command, apart):
            break
    return tables


def _table_of(typed: str, apart: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """A stage table without inputs, and the stage's name: the command, and the value of an option."""
    command, *options = typed.split()
    given = dict(zip((one.removeprefix("--") for one in options[::2]), options[1::2], strict=True))
    given |= apart
    default = STAGES[command].settings()
    others = [str(value) for key, value in given.items() if value != getattr(default, key)]
    return {"command": command, **given}, "_".join([stage_name(command), *others])


def _chosen_inputs(pipeline: Pipeline, name: str) -> dict[str, str]:
    """Of a stage, the stages that its required inputs are taken from."""
    plan = pipeline.stage(name)
    inputs: dict[str, str] = {}
    for key in plan.sources:
        if "[" in key:  # one of several results, all of which are taken
            continue
        makers = [
            one
            for one in pipeline.stages
            if one.name != name and any(one.makes(typed) for typed in plan.stage.made_by(key))
        ]
        finished = [one for one in makers if is_finished(one)]
        inputs[key] = (finished[-1] if finished else makers[0]).name
    return inputs
