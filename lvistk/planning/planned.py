"""What is asked of a plan, and what a plan is: tables of settings with their reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lvistk.planning.backbones import Backbone

Start = Literal["detector", "backbone", "nothing"]


@dataclass(frozen=True)
class Wishes:
    """What the user asks for.

    hours: for the whole run.
    backbone: whose weights the training starts from; None: random.
    checkpoint: a detector of another toolbox to start from instead.
    checkpoint_model: its model settings that are not the defaults.
    checkpoint_labels: which rows of its last layers are taken over, as ``import-weights`` calls it.
    categories: the file that lists the categories to train.
    pool: whether there is a pool of unlabelled images.
    val_images: number of images to be scored on.
    """

    hours: float
    backbone: Backbone | None = None
    checkpoint: Path | None = None
    checkpoint_model: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_labels: str = "by_name"
    categories: str = ""
    pool: bool = False
    val_images: int = 100

    @property
    def start(self) -> Start:
        if self.checkpoint is not None:
            return "detector"
        return "nothing" if self.backbone is None else "backbone"


@dataclass(frozen=True)
class Choice:
    """A setting of the planned file: its name in the table, its value, and why."""

    name: str
    value: Any
    reason: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the planned file, such as ``model.rpn``; ``note`` is a comment above it."""

    name: str
    choices: tuple[Choice, ...]
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What ``lvistk init`` writes.

    tables: in the file's order. hours: that the run is expected to take. remarks: what the user should know.
    """

    tables: tuple[Table, ...]
    hours: float
    remarks: tuple[str, ...] = ()

    def settings(self, name: str) -> dict[str, Any]:
        """The values of the tables ``name`` and below it, nested."""
        nested: dict[str, Any] = {}
        for table in self.tables:
            if table.name != name and not table.name.startswith(f"{name}."):
                continue
            node = nested
            for part in table.name.removeprefix(name).split(".")[1:]:
                node = node.setdefault(part, {})
            node.update({choice.name: choice.value for choice in table.choices})
        return nested


def duration(hours: float) -> str:
    """Hours in words: minutes below one and a half."""
    return f"{hours * 60:.0f} minutes" if hours < 1.5 else f"{hours:.1f} hours"


def stage_table(name: str, command: str, *choices: Choice, note: str = "") -> Table:
    """The table of a stage."""
    return Table(f"stage.{name}", (Choice("command", command), *choices), note)
