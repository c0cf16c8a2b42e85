"""Images that a user names: files, folders, globs and lists of paths, as one list with ids and names."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lvistk.artifacts.fingerprints import (
    IMAGE_SUFFIXES,
    image_names,
    is_pattern,
    pattern_names,
    pattern_root,
)
from lvistk.errors import UserError

LIST_SUFFIXES = (".txt", ".lst")
"""Files that list images, a path per line."""
MOST_DIGITS = 15
"""A name of so many digits at most is an image's own number."""
ID_BITS = 52
"""JSON numbers are exact up to 2 ** 53 in every program that reads them."""


class ListedImages:
    """N images, each once, sorted by name within each source.

    root: the folder that names are relative to: the given one, else the lowest that holds every source
    names: N paths relative to ``root``, with slashes
    ids: (N,) int64, different ones. Where every name is a number (COCO's are), that number; else taken
        from the name by a hash, so that an image keeps its id when others join
    """

    def __init__(self, sources: Sequence[Path], *, root: Path | None = None) -> None:
        """The images of ``sources``: image files, folders with all folders below, globs, and text files
        that list paths.

        Raises ``UserError`` for a source that is not there, that holds no image, or, with ``root``, for an
        image that is not below it.
        """
        self.root = _common_root(sources) if root is None else root
        paths: dict[str, None] = {}
        for source in sources:
            own = [_absolute(path) for path in _paths_of(source)]
            if not own:
                raise UserError(f"{source}: no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
            paths.update(dict.fromkeys(own))
        self.names = [_relative(path, _absolute(self.root), root) for path in paths]
        self.ids = image_ids(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def path(self, k: int) -> Path:
        return self.root / self.names[k]


def image_ids(names: Sequence[str]) -> np.ndarray:
    """Ids (N,) int64 of images by their names, which are different ones; see ``ListedImages``."""
    stems = [name.rsplit("/", 1)[-1].rsplit(".", 1)[0] for name in names]
    if all(stem.isdecimal() and stem.isascii() and len(stem) <= MOST_DIGITS for stem in stems):
        numbers = np.array([int(stem) for stem in stems], np.int64)
        if len(np.unique(numbers)) == len(numbers):
            return numbers
    ids: dict[int, None] = {}
    for name in names:
        digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
        number = int.from_bytes(digest, "big") >> (64 - ID_BITS)
        while number in ids:  # once in 300 lists of a million images
            number = (number + 1) % 2**ID_BITS
        ids[number] = None
    return np.array(list(ids), np.int64)


def _paths_of(source: Path) -> Iterator[str]:
    """The images of one source, as paths."""
    if source.is_dir():
        yield from (f"{source}/{name}" for name in sorted(image_names(source)))
    elif source.suffix.lower() in LIST_SUFFIXES and source.is_file():
        yield from _listed_paths(source)
    elif source.is_file():
        if source.suffix.lower() == ".json":
            raise UserError(
                f"{source}: is JSON, no image; tta-infer detects on the images that an annotation file "
                "lists (--val)"
            )
        yield str(source)
    elif is_pattern(source):
        yield from (f"{pattern_root(source)}/{name}" for name in pattern_names(source))
    else:
        raise UserError(f"{source}: no such image, folder or list")


def _listed_paths(path: Path) -> list[str]:
    """The paths in a list, which start at the working directory or at the list's folder.

    An image that is missing is kept, to be told with those that are broken; ``UserError`` where all are.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a list of images in UTF-8: {error}") from None
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    paths = [name if Path(name).is_file() else str(path.parent / name) for name in names]
    if names and not any(Path(one).is_file() for one in paths):
        raise UserError(f"{path}: no image {names[0]} here or in {path.parent}")
    return paths


def _common_root(sources: Sequence[Path]) -> Path:
    """The lowest folder that holds every source; of a list, every image that it names."""
    folders: set[str] = set()
    for source in sources:
        if source.is_dir():
            folders.add(_absolute(source))
        elif source.suffix.lower() in LIST_SUFFIXES and source.is_file():
            folders |= {_absolute(Path(one).parent) for one in _listed_paths(source)}
        elif is_pattern(source):
            folders.add(_absolute(pattern_root(source)))
        else:
            folders.add(_absolute(source.parent))
    return Path(os.path.commonpath(folders)) if folders else Path()


def _relative(path: str, root: str, given: Path | None) -> str:
    """``path`` relative to ``root``, both absolute; outside of a ``given`` root it is a ``UserError``."""
    name = os.path.relpath(path, root)
    if given is not None and name.startswith(".."):
        raise UserError(f"{path}: is not below {given}, which its name must be relative to")
    return name.replace(os.sep, "/")


def _absolute(path: str | Path) -> str:
    """Without ``..``; links stay, so that two names of one image are two images."""
    return os.path.abspath(path)  # noqa: PTH100  # resolve() follows links
