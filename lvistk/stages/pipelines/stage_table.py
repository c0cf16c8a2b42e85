"""From the table of a stage in a pipeline file to its plan."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lvistk.config.load import nearest, update
from lvistk.errors import UserError
from lvistk.stages.pipelines.folds import Groups, accepts_several
from lvistk.stages.pipelines.stage_plan import StagePlan
from lvistk.stages.specifications import STAGES
from lvistk.stages.specifications.stage import Stage


def plan_of_table(
    name: str,
    stage_table: Mapping[str, Any],
    *,
    table: Mapping[str, Any],
    shared: Mapping[str, Any],
    earlier: Mapping[str, StagePlan],
    folds: Groups,
    out: Path,
    where: str,
) -> StagePlan:
    """The plan of ``[stage.NAME]``: shared settings and paths filled in, its own on top, names of earlier
    stages replaced by their folders.

    table: the whole file, whose seed and ``[data]`` count for every stage.
    shared: tables of settings outside stages, such as ``[model]``; a stage takes those that it has.
    earlier: plans of the stages above it, by name.
    folds: names of the folds of each folded stage.
    where: file and table, for errors.
    """
    command = stage_table["command"]
    if command not in STAGES:
        raise UserError(f"{where}: unknown command '{command}'{nearest(str(command), STAGES)}")
    kind = STAGES[command]
    settings = update(kind.settings(), {"seed": table.get("seed", 0)}, where=where)
    names = {field.name for field in dataclasses.fields(kind.settings)}
    changes_only = {f.name for f in dataclasses.fields(kind.settings) if "overrides" in f.metadata}
    fitting = {k: v for k, v in shared.items() if k in names - changes_only}
    settings = update(settings, fitting, where=where)
    own = {k: v for k, v in stage_table.items() if k not in ("command", "inputs")}
    settings = update(settings, own, where=where)
    given = stage_table.get("inputs", {})
    if not isinstance(given, Mapping):
        raise UserError(f'{where} inputs: expected a table such as {{ model = "train_repr" }}')
    data = table.get("data", {})
    given = {**_makers(kind, {*data, *given}, earlier, folds), **given}
    inputs = _inputs(kind.inputs, data, given, earlier, where)
    sources = {
        key: earlier[value]
        for key, value in given.items()
        if isinstance(value, str) and value in earlier
    }
    sources |= {
        f"{key}[{k}]": earlier[one]
        for key, several in given.items()
        if isinstance(several, list)
        for k, one in enumerate(several)
        if isinstance(one, str) and one in earlier
    }
    return StagePlan(name, command, settings, inputs, out, sources)


def _makers(
    kind: Stage, given: Collection[str], earlier: Mapping[str, StagePlan], folds: Groups
) -> dict[str, Any]:
    """The last earlier stages that make what ``kind`` requires and is not given, by the input's name.

    A folded stage counts where all its results are wanted.
    """
    groups = {name: list(group) for group in folds.values() for name in group}
    makers: dict[str, Any] = {}
    for name in kind.required:
        if name not in given:
            for plan in earlier.values():
                if any(plan.makes(typed) for typed in kind.made_by(name)):
                    if plan.name not in groups:
                        makers[name] = plan.name
                    elif accepts_several(kind.command, name):
                        makers[name] = groups[plan.name]
    return makers


def _inputs(
    kind: type,
    data: Mapping[str, Any],
    given: Mapping[str, Any],
    earlier: Mapping[str, StagePlan],
    where: str,
) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    inputs = update(kind(), {k: v for k, v in data.items() if k in names}, where=f"{where} [data]")
    resolved = {key: _resolve(value, earlier) for key, value in given.items()}
    return update(inputs, resolved, where=f"{where} inputs")


def _resolve(value: Any, earlier: Mapping[str, StagePlan]) -> Any:
    if isinstance(value, list):
        return [_resolve(item, earlier) for item in value]
    return str(earlier[value].out) if isinstance(value, str) and value in earlier else value
