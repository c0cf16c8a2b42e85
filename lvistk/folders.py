"""A folder and all below it, as people lay out data: often a link to another disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(
    root: Path, *, enters: Callable[[Path], bool] = lambda folder: True
) -> Iterator[tuple[Path, list[str]]]:
    """``root`` and each folder below it once, in the order of their names, with the names of its files.

    Links to folders are followed; one that leads to a folder that was there already is not.

    enters: whether a folder below ``root`` is looked into.
    """
    entered: set[tuple[int, int]] = set()
    for where, folders, names in os.walk(root, followlinks=True):
        here = Path(where)
        status = here.stat()
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in sorted(folders) if enters(here / name)]
        yield here, names


def files_below(root: Path, suffix: str = "") -> list[Path]:
    """The files below ``root`` whose names end in ``suffix``, sorted."""
    return sorted(
        folder / name for folder, names in walk(root) for name in names if name.endswith(suffix)
    )
