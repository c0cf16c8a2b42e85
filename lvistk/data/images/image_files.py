"""Which file below a folder an image is: the one place where the names of annotation files meet the disk.

Tools write names with backslashes, percent signs, other cases and Unicode forms, as absolute paths of another
machine and as addresses. Only their last parts count, so that no name leads out of the folder. Symbolic links
inside the folder are followed wherever they lead: who filled the folder placed them (DVC and git-annex keep
images so).
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from lvistk.errors import UserError
from lvistk.folders import walk

_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://[^/]*/?")
_DRIVE = re.compile(r"^[A-Za-z]:")
COCO_PREFIX = "COCO_"
"""LVIS v0.5 and COCO 2014 put it and the split before the number that is the file's name in 2017."""
SHOWN = 3


def name_parts(name: str) -> tuple[str, ...]:
    """The parts of a file name or address that can be below a folder; none for an empty name.

    Server, drive, leading slash, what comes before ``..``, and an address's query are left off.
    """
    address = _ADDRESS.match(name)
    if address:
        name = name[address.end() :].split("?")[0].split("#")[0]
    name = _DRIVE.sub("", name.replace("\\", "/"))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    while ".." in parts:
        parts = parts[parts.index("..") + 1 :]
    return tuple(part for part in parts if "\0" not in part)


def image_key(name: str) -> str:
    """What two spellings of one image's name have in common: its parts, in one Unicode form."""
    return unicodedata.normalize("NFC", "/".join(name_parts(name)))


def display_name(file_name: str, coco_url: str) -> str:
    """How an image is called: the last two parts of its address (``train2017/000000000001.jpg``), or its
    ``file_name``; '' where it has neither."""
    parts = name_parts(coco_url) if _ADDRESS.match(coco_url) or not file_name else ()
    named = len(parts) > 1 and "." in parts[-1]
    return "/".join(parts[-2:]) if named else file_name


class ImageFolder:
    """The images below ``root``; the folder is listed once, when a name is not found as it is.

    root: folder of the images
    same_ending: tells whether the names of several images end in these parts, so that they are no name
    """

    def __init__(self, root: Path, *, same_ending: Callable[[tuple[str, ...]], bool]) -> None:
        self.root = root
        self._absolute = root.absolute()
        self._same_ending = same_ending

    def find(self, names: Sequence[str]) -> Path:
        """The file of an image that is called ``names``, the first that fits.

        Tried in order, for all names before the next: the name as it is, the name with percent signs undone,
        other case or Unicode form, then the last parts alone in any folder below the root. The last needs one
        such file, no other image of the same last parts, and no folder beside the root that the name means.
        Raises ``UserError`` with what was looked for.
        """
        candidates = [parts for name in names for parts in _spellings(name)]
        for parts in candidates:
            path = self.root.joinpath(*parts)
            if _is_file(path):
                return path
            if path.is_symlink():
                raise UserError(
                    f"{path} is a link to a file that is not there; fetch it (dvc pull, git annex get)"
                )
        for parts in candidates:
            if matches := self._listed.get(_key(parts)):
                return self._only(matches, parts)
        for parts in candidates:
            for first in range(len(parts)):
                path = self._by_ending(parts[:first], parts[first:])
                if path is not None:
                    return path
        looked_for = ", ".join("/".join(parts) for parts in candidates[:SHOWN])
        raise UserError(f"no {looked_for} below {self.root}")

    def _by_ending(self, dropped: tuple[str, ...], ending: tuple[str, ...]) -> Path | None:
        """The only file below the root that ends in ``ending``; None where it may be another image's."""
        own = bool(dropped) and dropped == self._absolute.parts[-len(dropped) :]
        if own and (matches := self._listed.get(_key(ending))):
            return self._only(matches, ending)
        if self._same_ending(ending):
            return None
        if dropped and self._is_beside(dropped[-1]):
            return None
        key = _key(ending)
        matches = [
            path
            for path in self._by_last_part.get(_key(ending[-1:]), ())
            if _key(path.parts[-len(ending) :]) == key
        ]
        return self._only([self.root / path for path in matches], ending) if matches else None

    def _is_beside(self, folder: str) -> bool:
        """Whether a folder of this name lies beside the root, whose images would be meant."""
        beside = self._absolute.parent / folder
        return beside != self._absolute and beside.is_dir()

    def _only(self, matches: Sequence[Path], parts: tuple[str, ...]) -> Path:
        exact = [path for path in matches if path.parts[-len(parts) :] == parts]
        chosen = exact if len(exact) == 1 else matches
        if len(chosen) > 1:
            shown = ", ".join(str(path.relative_to(self.root)) for path in chosen[:SHOWN])
            raise UserError(f"{'/'.join(parts)} may be any of {shown} below {self.root}")
        return chosen[0]

    @cached_property
    def _files(self) -> list[PurePosixPath]:
        files = []
        for folder, names in walk(self.root):
            inner = PurePosixPath(folder.relative_to(self.root).as_posix())
            files += [inner / name for name in names]
        return sorted(files)

    @cached_property
    def _listed(self) -> dict[str, list[Path]]:
        """Files by the key of their path below the root."""
        listed: dict[str, list[Path]] = {}
        for path in self._files:
            listed.setdefault(_key(path.parts), []).append(self.root / path)
        return listed

    @cached_property
    def _by_last_part(self) -> dict[str, list[PurePosixPath]]:
        by_last: dict[str, list[PurePosixPath]] = {}
        for path in self._files:
            by_last.setdefault(_key(path.parts[-1:]), []).append(path)
        return by_last


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long or no name
        return False


def _spellings(name: str) -> list[tuple[str, ...]]:
    """The parts of a name, also with percent signs undone and without COCO's prefix."""
    spellings = [name_parts(name)]
    if "%" in name:
        spellings.append(name_parts(unquote(name)))
    for parts in list(spellings):
        if parts and parts[-1].startswith(COCO_PREFIX):
            spellings.append((*parts[:-1], parts[-1].rsplit("_", 1)[-1]))
    return [parts for parts in spellings if parts]


def _key(parts: Sequence[str]) -> str:
    return unicodedata.normalize("NFC", "/".join(parts)).casefold()
