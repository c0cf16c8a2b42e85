"""The Open Images pool: millions of images on disk, known by 8 bytes each in mapped arrays.

Images are ``<16 hex digits>.jpg`` (or .png, .webp, .bmp, .tif; upper case too) anywhere below a folder:
flat, in ``train_0`` to ``train_f``, or nested.
A list restricts them and says how they are turned; images of annotation files are left out by their
Flickr id.
"""

import hashlib
import json
import os
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvistk.artifacts import fingerprint
from lvistk.data.index.flat_arrays import DAMAGED, TABLE, FlatWriter, check_arrays, map_arrays
from lvistk.data.index.index_cache import locked, user_cache
from lvistk.data.index.lvis_json import AnnotationFile, ImageRecord
from lvistk.data.pool.pool_list import PoolList, flickr_id, read_list
from lvistk.errors import UserError
from lvistk.whole_file import whole_folder

IMAGE_NAME = re.compile(r"(?:[0-9a-f]{16}|[0-9A-F]{16})\.(?i:jpe?g|png|webp|bmp|tiff?)", re.ASCII)


@dataclass(eq=False)
class OpenImages:
    """N images in the order of their ids; ``open`` makes one. Pickles by path.

    Fields: ``root``; ``ids (N,)`` uint64, mapped; ``unlisted`` images of the folder, not of the list,
    ``absent`` images of the list, not of the folder, ``excluded`` duplicates left out.
    """

    root: Path
    cached: Path

    def __post_init__(self) -> None:
        arrays, notes = map_arrays(self.cached)
        self.ids = arrays["ids"]
        self._folder, self._turns = arrays["folder"], arrays["turns"]
        self._suffix = arrays["suffix"]
        self._folders: list[str] = [name for name, _ in notes["folders"]]
        self._endings: list[tuple[bool, str]] = [(upper, end) for upper, end in notes["endings"]]
        self.unlisted: int = notes["unlisted"]
        self.absent: int = notes["absent"]
        self.excluded: int = notes["excluded"]

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        list_path: Path | None = None,
        exclude: Sequence[Path] = (),
        cache: Path | None = None,
        compares_content: bool = False,
    ) -> "OpenImages":
        """The images below ``folder``, read once and cached until one of its folders changes.

        ``list_path`` is an image CSV, a downloader list (``split/ImageID`` lines) or a list of bare ids.
        ``exclude`` are annotation files whose images must not be in the pool (the leak guard): they are
        known by their Flickr ids, or by what they show where the caller ``compares_content``. Raises
        ``UserError`` for a missing folder, a broken list, when no image is left, and when neither way
        can exclude anything.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of Open Images images")
        request = [
            "2",
            str(folder.resolve()),
            *(fingerprint(p) for p in (list_path, *exclude) if p),
        ]
        digest = hashlib.blake2b(json.dumps(request).encode(), digest_size=16).hexdigest()
        cached = (cache or user_cache()) / f"openimages-{digest}"
        if not _is_current(folder, cached):
            with locked(cached.with_name(f"{cached.name}.lock")):
                if not _is_current(folder, cached):
                    _build(
                        folder,
                        cached,
                        list_path=list_path,
                        exclude=exclude,
                        compares_content=compares_content,
                    )
        pool = cls(folder, cached)
        if not len(pool):
            raise UserError(
                f"{folder}: no image <16 hex digits>.jpg"
                + (f" that {list_path} names" if list_path and pool.unlisted else "")
                + "; give the folder that holds them or their shards (train_0, ...)"
            )
        return pool

    def __reduce__(self) -> tuple[type["OpenImages"], tuple[Path, Path]]:
        return type(self), (self.root, self.cached)

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, i: int) -> str:
        """Path below the pool's folder, ``train_3/3a09c1f0d8b2e4f7.jpg``."""
        upper, ending = self._endings[self._suffix[i]]
        number = int(self.ids[i])
        file = (f"{number:016X}" if upper else f"{number:016x}") + ending
        folder = self._folders[self._folder[i]]
        return f"{folder}/{file}" if folder else file

    def path(self, i: int) -> Path:
        return self.root / self.name(i)

    def image_id(self, i: int) -> int:
        """The 64 bits of the ImageID as a signed number (the upper half of the ids is negative)."""
        return int(self.ids[i : i + 1].view(np.int64)[0])

    def rotation(self, i: int) -> int:
        """Degrees, counter-clockwise, by which the image is to be turned; 0 where the list doesn't say."""
        return 90 * int(self._turns[i])


def _is_current(folder: Path, cached: Path) -> bool:
    """Whether a cache is there, as it was written, and no folder of images has changed since."""
    try:
        check_arrays(cached)
        notes = json.loads((cached / TABLE).read_text())["notes"]
        return all((folder / name).stat().st_mtime_ns == time for name, time in notes["folders"])
    except (OSError, *DAMAGED):
        return False


def _build(
    folder: Path,
    cached: Path,
    *,
    list_path: Path | None,
    exclude: Sequence[Path],
    compares_content: bool,
) -> None:
    listed = None if list_path is None else read_list(list_path)
    if exclude and not compares_content:
        _require_flickr_ids(listed, list_path, exclude)
    on_disk = _walk(folder)
    notes: dict[str, Any] = {
        "endings": on_disk.endings,
        "folders": on_disk.folders,
        "unlisted": 0,
        "absent": 0,
        "excluded": 0,
    }
    keep, turns = np.ones(len(on_disk.ids), bool), np.zeros(len(on_disk.ids), np.uint8)
    if listed is not None:
        index, known = _look_up(on_disk.ids, listed)
        turns[known] = listed.turns[index[known]]
        notes["unlisted"] = int((~known).sum())
        notes["absent"] = int(len(listed.ids) - len(np.unique(index[known])))
        keep &= known
        if exclude:
            banned = np.zeros(len(on_disk.ids), bool)
            banned[known] = np.isin(listed.flickr_ids[index[known]], _flickr_ids(exclude))
            notes["excluded"] = int(banned.sum())
            keep &= ~banned
    with whole_folder(cached) as temporary, FlatWriter(temporary) as writer:
        writer.append("ids", on_disk.ids[keep])
        writer.append("folder", on_disk.folder[keep])
        writer.append("suffix", on_disk.suffix[keep])
        writer.append("turns", turns[keep])
        writer.finish(notes=notes)


@dataclass(eq=False)
class _FolderImages:
    """Images of a folder by ascending id, each once; ``folders`` with their times of change, and how names
    end: whether the hexadecimal digits are upper case, and the suffix."""

    ids: np.ndarray
    folder: np.ndarray
    suffix: np.ndarray
    folders: list[tuple[str, int]]
    endings: list[tuple[bool, str]]


def _walk(root: Path) -> _FolderImages:
    ids, owner, suffix = array("Q"), array("I"), array("B")
    folders: list[tuple[str, int]] = []
    endings: dict[tuple[bool, str], int] = {}
    visited: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        name = waiting.pop()
        path = root / name
        status = path.stat()
        if (status.st_dev, status.st_ino) in visited:  # a link back to a folder above
            continue
        visited.add((status.st_dev, status.st_ino))
        number = len(folders)
        folders.append((name, status.st_mtime_ns))
        with os.scandir(path) as entries:
            for entry in entries:
                if IMAGE_NAME.fullmatch(entry.name):
                    digits, ending = entry.name[:16], entry.name[16:]
                    ids.append(int(digits, 16))
                    owner.append(number)
                    key = (digits != digits.lower(), ending)
                    suffix.append(endings.setdefault(key, len(endings)))
                elif entry.is_dir():
                    waiting.append(f"{name}/{entry.name}" if name else entry.name)
    unique, first = np.unique(np.frombuffer(ids, np.uint64), return_index=True)
    return _FolderImages(
        ids=unique,
        folder=np.frombuffer(owner, np.uint32)[first],
        suffix=np.frombuffer(suffix, np.uint8)[first],
        folders=folders,
        endings=list(endings),
    )


def _require_flickr_ids(
    listed: PoolList | None, list_path: Path | None, exclude: Sequence[Path]
) -> None:
    """A guard that cannot tell any image is an error, not a guard."""
    mend = "give --exclude-images, the folder of these images, to compare what images show"
    if listed is None:
        raise UserError(f"--exclude {exclude[0]}: there is no --pool-list with Flickr ids; {mend}")
    if not np.any(listed.flickr_ids >= 0):
        raise UserError(f"--exclude: {list_path} has no Flickr addresses; {mend}")
    for path in exclude:
        if not len(_flickr_ids([path])):
            raise UserError(f"--exclude: {path} has no flickr_url; {mend}")


def _look_up(ids: np.ndarray, listed: PoolList) -> tuple[np.ndarray, np.ndarray]:
    """Index in the list (N,) of each id, and whether it is there (N,)."""
    if not len(listed.ids):
        return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    index = np.searchsorted(listed.ids, ids).clip(0, len(listed.ids) - 1)
    return index, listed.ids[index] == ids


def _flickr_ids(paths: Sequence[Path]) -> np.ndarray:
    """Flickr ids of the images of annotation files, as far as they name them."""
    records = (record for path in paths for record in AnnotationFile(path).images())
    urls = [record.flickr_url for record in records if isinstance(record, ImageRecord)]
    numbers = [flickr_id(url) for url in urls]
    return np.array([number for number in numbers if number >= 0], np.int64)
