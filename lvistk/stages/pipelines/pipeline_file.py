"""A pipeline file: shared tables and one table for each run of a stage.

    name = "demo"
    out = "runs/demo"            # stage folders are made below it
    seed = 0
    [data]                       # paths that fill the inputs of the same name
    train = ["data/annotations/train.json"]
    [model.backbone]             # settings shared by every stage that has them
    name = "resnet50"
    [stage.train_repr]
    command = "train-repr"
    [stage.train_repr.optim]
    lr = 0.02
    [stage.finetune]
    command = "finetune"
    inputs = { model = "train_repr" }   # an earlier stage, or a path

A required input that a stage does not name is the result of the last earlier stage that makes such. With
``folds = k`` a stage is k stages (``folds.py``).

A file may build on another one (``pipeline_base``). ``[generate]`` has a data set drawn into ``OUT/data``
before the first stage (``lvistk generate`` has its settings), which ``[data]`` then names by default. A
file with a table ``[row]`` is a row of a ladder (``config.row``): its stage folders are shared with the
other rows.

Relative paths start at the working directory; ``~`` and ``$VARIABLES`` are replaced.
``--set NAME.a.b=c`` reaches the stage NAME, and ``--set model.a=c`` or ``--set data.a=c`` the shared tables.
"""

import copy
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvistk.config.load import expanded, merge, nearest, parse_assignments
from lvistk.config.row import RowSettings
from lvistk.errors import UserError
from lvistk.stages.pipelines.folds import expand_folds
from lvistk.stages.pipelines.pipeline_base import read_pipeline_toml
from lvistk.stages.pipelines.pipeline_row import (
    DRAWN,
    drawn_paths,
    needed_stages,
    read_generate,
    read_row,
)
from lvistk.stages.pipelines.shared_folders import shared_folder
from lvistk.stages.pipelines.shipped import find_pipeline
from lvistk.stages.pipelines.stage_plan import StagePlan
from lvistk.stages.pipelines.stage_table import plan_of_table
from lvistk.stages.specifications import STAGES

HEAD_KEYS = ("name", "out", "seed", "data", "stage", "generate", "row")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline file, read and checked.

    generate: settings of the data set that is drawn into ``drawn`` first; None where there is none.
    row: what the file says of itself as a row of a ladder; None where it is none.
    shared: tables of settings that every stage takes which has them.
    """

    name: str
    out: Path
    stages: tuple[StagePlan, ...]
    generate: Mapping[str, Any] | None = None
    row: RowSettings | None = None
    shared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def drawn(self) -> Path:
        """The folder that ``generate`` draws into."""
        return self.out / DRAWN

    @property
    def undrawn(self) -> Path | None:
        """``drawn`` as long as ``generate`` has it to draw, or to draw to its end; else None."""
        list_written_last = Path(drawn_paths(self.drawn)["pool_list"])
        drawn = self.generate is None or list_written_last.is_file()
        return None if drawn else self.drawn

    def stage(self, name: str) -> StagePlan:
        for plan in self.stages:
            if plan.name == name:
                return plan
        raise UserError(
            f"pipeline '{self.name}' has no stage '{name}'"
            + nearest(name, [plan.name for plan in self.stages])
        )


def load_pipeline(
    path: Path,
    *,
    assignments: Sequence[str] = (),
    out: Path | None = None,
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> Pipeline:
    """Read and check a pipeline file, or the shipped one that ``path`` names.

    Every stage's settings are complete afterwards. ``more``: stage tables that join those of the file, which
    then needs none of its own.
    """
    path = find_pipeline(path)
    table = _read(path)
    if more is None and not table.get("stage"):
        raise UserError(f"{path}: a pipeline needs at least one [stage.NAME] table")
    table["stage"] = {**table.get("stage", {}), **copy.deepcopy(dict(more or {}))}
    _merge_assignments(table, parse_assignments(assignments), path)
    _require_shape(table, path)
    name = table.get("name", path.stem)
    stages, folds = expand_folds(table.get("stage", {}), where=path.name)
    folder = out or expanded(table.get("out", f"runs/{name}"))
    shared = {key: value for key, value in table.items() if key not in HEAD_KEYS}
    _check_shared(shared, path)
    row, drawn = read_row(table, where=path.name), read_generate(table, where=path.name)
    if "train" in table.get("data", {}):
        drawn = None  # the file has data of its own, as where it builds on the demo
    if drawn is not None:
        table["data"] = {**drawn_paths(folder / DRAWN), **table.get("data", {})}
    plans: list[StagePlan] = []
    for stage_name, stage_table in stages.items():
        earlier = {plan.name: plan for plan in plans}
        plan = plan_of_table(
            stage_name,
            stage_table,
            table=table,
            shared=shared,
            earlier=earlier,
            folds=folds,
            out=folder / stage_name,
            where=f"{path.name} [stage.{stage_name}]",
        )
        if row is not None:
            plan = dataclasses.replace(plan, out=shared_folder(plan, folder))
        plans.append(plan)
    _check_data_keys(table.get("data", {}), path)
    if row is not None:
        plans = needed_stages(plans, row, root=folder, where=path.name)
    return Pipeline(name, folder, tuple(plans), generate=drawn, row=row, shared=shared)


def _read(path: Path) -> dict[str, Any]:
    table = read_pipeline_toml(path)
    _require_shape(table, path)
    return table


def _require_shape(table: Mapping[str, Any], path: Path) -> None:
    """Raise ``UserError`` unless the tables that this module reads itself are of the right kind."""
    for key in ("generate", "row"):
        if not isinstance(table.get(key, {}), Mapping):
            raise UserError(f"{path}: {key} = {table[key]!r}: expected a table [{key}]")
    for key in ("name", "out"):
        if not isinstance(table.get(key, ""), str):
            raise UserError(f"{path}: {key} = {table[key]!r}: expected text in quotes")
    if not isinstance(table.get("data", {}), Mapping):
        raise UserError(f"{path}: data = {table['data']!r}: expected a table [data] of paths")
    stages = table.get("stage", {})
    if not isinstance(stages, Mapping):
        raise UserError(f"{path}: a pipeline needs at least one [stage.NAME] table")
    for name, stage in stages.items():
        where = f"{path.name} [stage.{name}]"
        if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
            raise UserError(f"{where}: a stage's name has letters, digits, _ and - only")
        if not isinstance(stage, Mapping) or not isinstance(stage.get("command"), str):
            raise UserError(f'{where}: a stage needs command = "..."; known: {", ".join(STAGES)}')


def _merge_assignments(table: dict[str, Any], changes: Mapping[str, Any], path: Path) -> None:
    stages = table.get("stage", {})
    of_stages = {k: v for k, v in changes.items() if k in stages and isinstance(v, Mapping)}
    stages.update(merge(stages, of_stages))
    table.update(merge(table, {k: v for k, v in changes.items() if k not in of_stages}))
    unknown = [key for key in changes if key not in stages and key not in _known_tables()]
    if unknown:
        known = [*stages, *_known_tables()]
        raise UserError(f"{path.name} --set {unknown[0]}: unknown{nearest(unknown[0], known)}")


def _known_tables() -> list[str]:
    shared = {field.name for kind in STAGES.values() for field in dataclasses.fields(kind.settings)}
    return sorted(shared | set(HEAD_KEYS))


def _check_shared(shared: Mapping[str, Any], path: Path) -> None:
    for key in shared:
        if key not in _known_tables():
            raise UserError(f"{path.name}: unknown table '{key}'{nearest(key, _known_tables())}")


def _check_data_keys(data: Mapping[str, Any], path: Path) -> None:
    known = {name for kind in STAGES.values() for name in typing.get_type_hints(kind.inputs)}
    for key in data:
        if key not in known:
            raise UserError(f"{path.name} [data]: unknown input '{key}'{nearest(key, list(known))}")
