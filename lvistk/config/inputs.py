"""Fields of an inputs class, whose paths a stage reads: files, image folders, folders of earlier stages."""

from dataclasses import field
from pathlib import Path
from typing import Any

Paths = tuple[Path, ...]


def path(help: str, *, required: bool = False, argument: str = "") -> Any:
    """A field of an inputs class: one path, or None.

    help: what it is. required: a run cannot do without. argument: on the command line it is an
    argument of this name, not an option.
    """
    return field(default=None, metadata={"help": help, "required": required, "argument": argument})


def paths(help: str, *, required: bool = False) -> Any:
    """A field of an inputs class: any number of paths, whose option may be repeated."""
    return field(default=(), metadata={"help": help, "required": required, "argument": ""})
