"""What can be given on the command line of a stage, derived from its specification."""

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk.config.load import marked
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class Option:
    """An option or an argument of a command.

    name: of the setting, the input, or the field of ``Shared`` that it gives.
    flags: how it is written, such as ``("--out", "-o")``; none for an argument.
    help: what it means.
    kind: of its value; bool for a flag, which has none.
    many: it may be repeated; all values count.
    metavar: its value's name in the help.
    default: what it is if not given.
    """

    name: str
    flags: tuple[str, ...]
    help: str
    kind: type[Path] | type[str] | type[bool] | type[int] | type[float] = str
    many: bool = False
    metavar: str | None = None
    default: str | bool | None = None


CONFIG = Option(
    "config",
    ("--config", "-c"),
    "Pipeline file (TOML) that gives settings and inputs.",
    kind=Path,
)
STAGE = Option(
    "stage", ("--stage",), "Which stage of the pipeline file, where several have the command."
)
OUT = Option("out", ("--out", "-o"), "Folder of the results.", kind=Path)
ASSIGN = Option(
    "assign",
    ("--set", "-s"),
    "Change one setting; may be repeated.",
    many=True,
    metavar="A.B=VALUE",
)
FORCE = Option(
    "force",
    ("--force",),
    "Delete what the folder holds and start from the beginning.",
    kind=bool,
    default=False,
)
RESUME_WITH_CHANGES = Option(
    "resume_with_changes",
    ("--resume-with-changes",),
    "Go on from the last checkpoint with other settings for the rest: rate, epochs, ...",
    kind=bool,
    default=False,
)
DRY_RUN = Option(
    "dry_run",
    ("--dry-run",),
    "Say what would run, from what, how long and in how much memory; run nothing.",
    kind=bool,
    default=False,
)
JSON = Option(
    "json",
    ("--json",),
    "Print results as JSON, and all other lines on standard error.",
    kind=bool,
    default=False,
)
SHARD = Option(
    "shard",
    ("--shard",),
    "Make one portion of the images, beside other jobs; a run without it then finishes.",
    metavar="I/N",
)
DEVICE = Option("device", ("--device",), "cpu, cuda, cuda:N, or auto.", default="auto")


def options_of(stage: Stage) -> list[Option]:
    """Arguments, then shared options, settings with an option of their own, and inputs."""
    inputs = list(_inputs(stage))
    arguments = [one for one in inputs if not one.flags]
    return [*arguments, *_shared(stage), *_settings(stage), *(i for i in inputs if i.flags)]


def _shared(stage: Stage) -> Iterator[Option]:
    yield from (CONFIG, STAGE, OUT, ASSIGN, FORCE, DRY_RUN, JSON)
    if marked(stage.settings(), "changeable"):
        yield RESUME_WITH_CHANGES
    if stage.in_portions:
        yield SHARD
    if stage.needs_device:
        yield DEVICE


def _settings(stage: Stage) -> Iterator[Option]:
    """Without a value the setting keeps its default, or what the pipeline file says."""
    hints = typing.get_type_hints(stage.settings)
    for name, help in stage.options.items():
        many = typing.get_origin(hints[name]) is tuple
        yield Option(name, (flag_of(name),), help, kind=_kind_of(hints[name]), many=many)


def _kind_of(hint: Any) -> type[bool] | type[int] | type[float] | type[str]:
    """Of a setting's values on the command line: flags and numbers, all others text."""
    kinds = [one for one in typing.get_args(hint) or (hint,) if one is not type(None)]
    return kinds[0] if kinds[0] in (bool, int, float) else str


def _inputs(stage: Stage) -> Iterator[Option]:
    """None is required here: a pipeline file may give it."""
    for one in dataclasses.fields(stage.inputs):
        argument = one.metadata["argument"]
        yield Option(
            one.name,
            () if argument else (flag_of(one.name),),
            one.metadata["help"],
            kind=Path,
            many=one.default == (),
            metavar=argument or None,
        )


def flag_of(name: str) -> str:
    """``train_images`` as ``--train-images``."""
    return "--" + name.replace("_", "-")
