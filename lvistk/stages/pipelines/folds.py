"""Cross-fitting in a pipeline file: ``folds = k`` makes k stages of one.

    [stage.teacher]
    command = "train-repr"
    folds = 3
    [stage.look]
    command = "pseudo-label"
    folds = 3
    inputs = { model = "teacher" }
    [stage.missing]
    command = "filter-missing"
    inputs = { detections = "look" }

becomes teacher_1 to teacher_3, each trained on all images but its fold, look_1 to look_3, which label the
folds that their teachers did not see, and one stage that reads the results of all.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from lvistk.errors import UserError
from lvistk.stages.specifications import STAGES

MOST = 100

Groups = Mapping[str, tuple[str, ...]]
"""The names of the stages that each folded stage became."""


def expand_folds(stages: Mapping[str, Any], *, where: str) -> tuple[dict[str, Any], Groups]:
    """The tables of the stages with every folded one written out, and the groups.

    Raises ``UserError`` for a number of folds that is none, a command that has no folds, and an input that
    cannot be the results of several stages.
    """
    groups: dict[str, tuple[str, ...]] = {}
    expanded: dict[str, Any] = {}
    for name, table in stages.items():
        count = _count(name, table, where)
        if count is None:
            expanded[name] = _with_all_results(name, table, groups, where)
            continue
        groups[name] = tuple(f"{name}_{k}" for k in range(1, count + 1))
        for k, own in enumerate(groups[name]):
            if own in stages:
                raise UserError(
                    f"{where} [stage.{own}]: is what folds of [stage.{name}] make; rename it"
                )
            one = copy.deepcopy({key: value for key, value in table.items() if key != "folds"})
            one["fold"] = f"{k + 1}/{count}"
            one["inputs"] = _of_same_fold(name, table, groups, k, where)
            expanded[own] = one
    return expanded, groups


def accepts_several(command: str, name: str) -> bool:
    """Whether the input ``name`` of a command may be repeated."""
    fields = {field.name: field for field in dataclasses.fields(STAGES[command].inputs)}
    return name in fields and fields[name].default == ()


def _has_folds(command: str) -> bool:
    """Whether the stage can be told to leave out, or to take, one fold of the images."""
    return "fold" in {field.name for field in dataclasses.fields(STAGES[command].settings)}


def _count(name: str, table: Mapping[str, Any], where: str) -> int | None:
    """The number of folds of a stage; None without."""
    count = table.get("folds")
    if count is None:
        return None
    here = f"{where} [stage.{name}]"
    if not _has_folds(table["command"]):
        able = " and ".join(command for command in STAGES if _has_folds(command))
        raise UserError(f"{here}: {table['command']} has no folds; {able} have")
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= MOST:
        raise UserError(f"{here}: folds = {count!r}: expected a whole number of 2 to {MOST}")
    if table["command"] == "pseudo-label" and "model" not in table.get("inputs", {}):
        raise UserError(f'{here}: say which teachers look: inputs = {{ model = "..." }}')
    return count


def _of_same_fold(
    name: str, table: Mapping[str, Any], groups: Groups, k: int, where: str
) -> dict[str, Any]:
    """The inputs of fold k: of a folded stage the one of this fold."""
    inputs = dict(table.get("inputs", {}))
    for key, value in inputs.items():
        if isinstance(value, str) and value in groups:
            if len(groups[value]) != table["folds"]:
                raise UserError(
                    f"{where} [stage.{name}]: folds = {table['folds']}, and {value} has {len(groups[value])}"
                )
            inputs[key] = groups[value][k]
    return inputs


def _with_all_results(
    name: str, table: Mapping[str, Any], groups: Groups, where: str
) -> Mapping[str, Any]:
    """A stage without folds, of whose inputs those that name a folded stage are all its results."""
    inputs = table.get("inputs", {})
    if not isinstance(inputs, Mapping) or not any(
        isinstance(value, str) and value in groups for value in inputs.values()
    ):
        return table
    resolved = dict(inputs)
    for key, value in inputs.items():
        if isinstance(value, str) and value in groups:
            if not accepts_several(table["command"], key):
                raise UserError(
                    f"{where} [stage.{name}]: '{key}' is one result, and {value} has {len(groups[value])} "
                    f"folds; name one, such as {groups[value][0]}"
                )
            resolved[key] = list(groups[value])
    return {**table, "inputs": resolved}
