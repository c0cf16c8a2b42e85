"""What inputs and outputs are known by: their content, wherever they lie."""

import glob
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from lvistk.errors import UserError
from lvistk.folders import walk

LARGE_BYTES = 64 << 20
SAMPLES = 64
SAMPLE_BYTES = 1 << 16
"""A large file's fingerprint takes so many samples of so many bytes, the first and last among them."""
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"))
SAMPLED_IMAGES = 32
"""Images of a folder whose names and sizes are recorded."""
GONE_SHARE = 0.01
"""Share of an image folder's images that may be gone, one always: what inference leaves out by default."""
MOST_FILES = 5000
"""An output folder of more files is known as a whole only."""


def file_fingerprint(path: Path) -> str:
    """Hash of a file's content; above 64 MiB of its size, time of change and samples.

    Reading 2 GB of results takes longer than evaluating them.
    """
    status = path.stat()
    return _content_hash(str(path.resolve()), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _content_hash(path: str, size: int, modified: int) -> str:
    """Hash of the content; of a small file, size and time of change are part of the memory's key only."""
    with Path(path).open("rb") as handle:
        if size > LARGE_BYTES:
            return "large:" + _sampled_hash(handle, size, f"{size} {modified}")
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sampled_hash(handle: BinaryIO, size: int, text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for k in range(SAMPLES):
        handle.seek((size - SAMPLE_BYTES) * k // (SAMPLES - 1))
        digest.update(handle.read(SAMPLE_BYTES))
    return digest.hexdigest()


def describe_images(folder: Path) -> dict[str, Any]:
    """``fingerprint`` and ``sample`` of an image folder: how many images, names and sizes of some.

    Stage folders and hidden folders below it do not count: they come and go with runs.
    """
    return _described(folder, sorted(image_names(folder)))


def describe_pattern(pattern: Path) -> dict[str, Any]:
    """The same of the images that a glob names, relative to ``root``, its folder without wildcards."""
    root = pattern_root(pattern)
    return {"root": str(root), **_described(root, pattern_names(pattern))}


def is_pattern(path: Path) -> bool:
    """Whether ``path`` is a glob: it has a wildcard, and no file has this very name."""
    return any(letter in str(path) for letter in "*?[") and not path.exists()


def pattern_root(pattern: Path) -> Path:
    """The folder above the first wildcard of a glob."""
    parts = [any(letter in part for letter in "*?[") for part in pattern.parts]
    return Path(*pattern.parts[: parts.index(True)])


def pattern_names(pattern: Path) -> list[str]:
    """Images that a glob names or that lie in folders that it names, sorted, relative to its root.

    As in folders, each folder counts once, whatever links lead to it, and what lies in stage folders is
    passed over: ``**`` would take the pictures of earlier runs.
    """
    root, names = pattern_root(pattern), set()
    for name in _globbed(root, pattern.relative_to(root).parts):
        if (root / name).is_dir():
            names |= {(Path(name) / below).as_posix() for below in image_names(root / name)}
        elif Path(name).suffix.lower() in IMAGE_SUFFIXES:
            names.add(name)
    folders = _different_folders(root, {Path(name).parent for name in names})
    kept = {one for one in folders if not _is_in_stage(root, one)}
    return sorted(name for name in names if Path(name).parent in kept)


def _different_folders(root: Path, folders: Iterable[Path]) -> list[Path]:
    """Of the names of one folder, relative to ``root``, the shortest."""
    by_identity: dict[tuple[int, int], Path] = {}
    for folder in sorted(folders, key=lambda one: (len(one.parts), one)):
        status = (root / folder).stat()
        by_identity.setdefault((status.st_dev, status.st_ino), folder)
    return list(by_identity.values())


def _globbed(root: Path, parts: Sequence[str]) -> Iterator[str]:
    """Paths relative to ``root`` that the parts of a glob name.

    ``**`` enters each folder once: Python's own follows a link to a folder above up to forty times.
    """
    if "**" not in parts:
        yield from glob.glob("/".join(parts), root_dir=root)  # noqa: PTH207  # knows a root
        return
    at = parts.index("**")
    for head in _globbed(root, parts[:at]) if at else [""]:
        for folder, _ in walk(root / head, enters=_is_data):
            start = "" if folder == root else folder.relative_to(root).as_posix()
            rest = _globbed(root / start, parts[at + 1 :]) if parts[at + 1 :] else [""]
            yield from ("/".join(part for part in (start, name) if part) for name in rest)


def _is_in_stage(root: Path, folder: Path) -> bool:
    """Whether ``folder``, relative to ``root``, is a stage folder or lies in one that is below the root."""
    return any((root / one / "stage.json").is_file() for one in (folder, *folder.parents[:-1]))


def _described(folder: Path, names: list[str]) -> dict[str, Any]:
    step = max(len(names) - 1, 1) / max(SAMPLED_IMAGES - 1, 1)
    chosen = {names[min(round(k * step), len(names) - 1)] for k in range(SAMPLED_IMAGES) if names}
    sample = {name: (folder / name).stat().st_size for name in sorted(chosen)}
    text = json.dumps([len(names), sample], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return {"fingerprint": f"images:{len(names)}:{digest}", "sample": sample}


def image_names(folder: Path) -> Iterator[str]:
    """Paths of all images below ``folder``, relative to it, but in hidden and stage folders."""
    for here, files in walk(folder, enters=_is_data):
        start = "" if here == folder else f"{here.relative_to(folder).as_posix()}/"
        for name in files:
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122  # 100,000 names
                yield start + name


def _is_data(folder: Path) -> bool:
    """Whether a folder is neither hidden nor a stage's."""
    return not folder.name.startswith(".") and not (folder / "stage.json").is_file()


def describe_store(folder: Path) -> dict[str, Any]:
    """``fingerprint`` of a folder of detection shards: name, size, first and last bytes of each."""
    digest = hashlib.blake2b(digest_size=16)
    for shard in sorted(folder.glob("*.h5")):
        size = shard.stat().st_size
        digest.update(f"{shard.name} {size} ".encode())
        with shard.open("rb") as handle:
            digest.update(handle.read(SAMPLE_BYTES))
            handle.seek(max(size - SAMPLE_BYTES, 0))
            digest.update(handle.read(SAMPLE_BYTES))
    return {"fingerprint": f"store:{digest.hexdigest()}"}


def same_input(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two descriptions of an input (``artifacts.describe_inputs``) are of the same content.

    Image folders are the same while the images that were recorded are there, most of them with their
    sizes (a broken one may have been mended), and no more than GONE_SHARE of all have gone (a broken one that
    was left out may have been deleted; a run that needs an image that is gone says so). What joins them is
    not read by a run that did not know it. Manifests of earlier releases know folders by path alone, which
    says nothing about content: they count as the same.
    """
    before, now = str(old.get("fingerprint")), str(new.get("fingerprint"))
    if before == now:
        return True
    if before.startswith("folder:"):
        return now.startswith(("images:", "stage:", "store:"))
    if not (before.startswith("images:") and now.startswith("images:")):
        return False
    count = int(before.split(":")[1])
    most_gone = max(1, int(GONE_SHARE * count))
    root = new.get("root", new["path"])
    sizes = {name: _size(Path(root, name)) for name in old["sample"]}
    kept = sum(sizes[name] == size for name, size in old["sample"].items())
    gone = max(count - int(now.split(":")[1]), list(sizes.values()).count(None))
    return gone <= most_gone and 2 * kept >= len(sizes)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def describe_output(path: Path) -> dict[str, Any]:
    """What a finished output, a file or a folder of files, is known by.

    bytes: of all files. fingerprint: of their content. files: by path relative to ``path``, size, time
    of change in ns, and hash of each file.
    """
    files = _files(path)
    hashes = [output_hash(file) for file in files]
    digest = hashlib.blake2b("".join(hashes).encode(), digest_size=16).hexdigest()
    described = {"bytes": sum(file.stat().st_size for file in files), "fingerprint": digest}
    if len(files) > MOST_FILES:
        return described
    known = {
        file.relative_to(path).as_posix(): [file.stat().st_size, file.stat().st_mtime_ns, one]
        for file, one in zip(files, hashes, strict=True)
    }
    return {**described, "files": known}


def output_hash(path: Path) -> str:
    """As ``file_fingerprint``, but a copy's time of change does not count."""
    size = path.stat().st_size
    if size <= LARGE_BYTES:
        return file_fingerprint(path)
    with path.open("rb") as handle:
        return "sampled:" + _sampled_hash(handle, size, str(size))


def broken_files(path: Path, described: Mapping[str, Any]) -> list[Path]:
    """Files of an output that are missing or no longer what ``describe_output`` saw; none if all is well.

    A file whose size and time of change are as they were is not read.
    """
    if "files" not in described:
        return [] if _is_as_recorded(path, described) else [path]
    return [
        file
        for name, (size, modified, known) in described["files"].items()
        if not _is_same(file := path / name if name != "." else path, size, modified, known)
    ]


def _is_same(file: Path, size: int, modified: int, known: str) -> bool:
    try:
        status = file.stat()
    except OSError:
        return False
    if status.st_size != size:
        return False
    return status.st_mtime_ns == modified or output_hash(file) == known


def _is_as_recorded(path: Path, described: Mapping[str, Any]) -> bool:
    """The same of earlier releases' manifests, whose fingerprints of large files hold a time of change."""
    files = _files(path) if path.exists() else []
    if not files or sum(file.stat().st_size for file in files) != described["bytes"]:
        return not files and not described["bytes"] and path.exists()
    if any(file.stat().st_size > LARGE_BYTES for file in files):
        return True
    text = "".join(file_fingerprint(file) for file in files)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() == described["fingerprint"]


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def outputs_fingerprint(outputs: Mapping[str, Mapping[str, Any]]) -> str:
    """What a finished stage is known by as an input of another."""
    known = {name: {k: one[k] for k in ("bytes", "fingerprint")} for name, one in outputs.items()}
    text = json.dumps(known, sort_keys=True)
    return "stage:" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def require_file(path: Path) -> None:
    """Raise ``UserError`` where a file cannot be opened for reading."""
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
