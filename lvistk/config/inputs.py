"""Fields of an inputs class, whose paths a stage reads: files, image folders, folders of earlier stages."""

from dataclasses import field
from pathlib import Path
from typing import Any

Paths = tuple[Path, ...]


def path(
    help: str, *, required: bool = False, argument: str = "", made_by: tuple[str, ...] = ()
) -> Any:
    """A field of an inputs class: one path, or None.

    help: what it is. required: a run cannot do without. argument: on the command line it is an
    argument of this name, not an option. made_by: commands whose results it can be, as they are typed; of
    a pipeline file's earlier stages the last of them fills a required input that the file does not give.
    """
    metadata = {"help": help, "required": required, "argument": argument, "made_by": made_by}
    return field(default=None, metadata=metadata)


def paths(
    help: str, *, required: bool = False, argument: str = "", made_by: tuple[str, ...] = ()
) -> Any:
    """A field of an inputs class: any number of paths, whose option may be repeated; see ``path``."""
    metadata = {"help": help, "required": required, "argument": argument, "made_by": made_by}
    return field(default=(), metadata=metadata)
