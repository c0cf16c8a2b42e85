"""One run of a stage: settings, inputs and the folder of its results."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvistk.config.load import parse_assignments, update
from lvistk.stages.specifications import STAGES
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class StagePlan:
    """One run of a stage: what to run, on what, into which folder.

    sources: the stages of the same file whose results are inputs of this one, by the input's name; one of
        several results of an input by ``detections[1]``.
    """

    name: str
    command: str
    settings: Any
    inputs: Any
    out: Path
    sources: Mapping[str, "StagePlan"] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """The specification of the stage that this runs."""
        return STAGES[self.command]

    @property
    def typed(self) -> str:
        """The command with the options that tell it apart, as it is typed."""
        options = [f"--{name} {getattr(self.settings, name)}" for name in self.stage.told_apart_by]
        return " ".join([self.command, *options])

    def makes(self, typed: str) -> bool:
        """Whether ``typed``, a command with or without options, is what this runs."""
        return typed in (self.command, self.typed)

    @property
    def read_paths(self) -> list[Path]:
        """The inputs that the stage reads, one after the other."""
        unread = self.stage.unread(self.settings, self.inputs)
        given = [value for name, value in vars(self.inputs).items() if name not in unread]
        paths = [
            one for value in given for one in (value if isinstance(value, tuple) else (value,))
        ]
        return [path for path in paths if isinstance(path, Path)]

    def reads_below(self, folder: Path) -> bool:
        """Whether an input that the stage reads lies in ``folder``."""
        return any(path.is_relative_to(folder) for path in self.read_paths)


def plan_alone(command: str, *, out: Path, assignments: Sequence[str] = ()) -> StagePlan:
    """A stage without a pipeline file: defaults and ``--set``."""
    kind = STAGES[command]
    own = stage_name(command)
    changes = parse_assignments(assignments)
    if own not in {field.name for field in dataclasses.fields(kind.settings)}:
        changes = {**{k: v for k, v in changes.items() if k != own}, **changes.get(own, {})}
    settings = update(kind.settings(), changes, where=f"{command} --set")
    return StagePlan(own, command, settings, kind.inputs(), out)


def stage_name(command: str) -> str:
    """``train-repr`` as a name in TOML and ``--set``: ``train_repr``."""
    return command.replace("-", "_")


def with_settings(plan: StagePlan, given: Mapping[str, Any]) -> StagePlan:
    """``plan`` with settings from options of their own; ``None`` changes nothing."""
    changes = {key: value for key, value in given.items() if value is not None}
    settings = update(plan.settings, changes, where=plan.command)
    return dataclasses.replace(plan, settings=settings)


def with_inputs(plan: StagePlan, given: Mapping[str, Any]) -> StagePlan:
    """``plan`` with inputs from the command line; ``None`` and empty ones change nothing."""
    changes = {key: value for key, value in given.items() if value not in (None, (), [])}
    inputs = update(plan.inputs, changes, where=plan.command)
    sources = {k: one for k, one in plan.sources.items() if k.partition("[")[0] not in changes}
    return dataclasses.replace(plan, inputs=inputs, sources=sources)
