"""Where built indexes lie: a folder each, under a name made from the content of their sources.

Reading a gigabyte through only to know that it is unchanged would take seconds, so the content hash of
a file is remembered with its size and times. Many processes may ask at once: one builds, the others wait.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from lvistk.data.index.flat_arrays import TABLE
from lvistk.errors import UserError
from lvistk.whole_file import whole_file, whole_folder

HASH = re.compile("[0-9a-f]{32}")
PACKAGE = Path(__file__).parents[2]
READERS = ("data/index", "json_input", "masks")
"""Folders of the code that reads and checks annotations: an index that other code built is built again."""


def user_cache() -> Path:
    """``lvistk/index`` below XDG_CACHE_HOME, else ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "lvistk" / "index"


def cache_beside(run: Path) -> Path:
    """Where the indexes of a run lie: beside its folder, so that the stages of a pipeline share them."""
    return run.parent / ".index"


def built_folder(
    paths: Sequence[Path], cache: Path, build: Callable[[Sequence[Path], Path], None]
) -> Path:
    """The folder of the index of ``paths`` below ``cache``, built where it is not there.

    ``build(paths, folder)`` writes into a temporary folder that gets its name when it is complete. What
    another user wrote into ``cache`` is not believed: then the user's own cache is used.
    """
    if cache.is_dir() and not _is_own(cache):
        cache = user_cache()
    digest = hashlib.blake2b(code_of_readers(PACKAGE), digest_size=16)
    for path in paths:
        digest.update(_content_hash(path, cache).encode())
    folder = cache / digest.hexdigest()
    if folder.is_dir() and not _is_own(folder) and cache != user_cache():
        return built_folder(paths, user_cache(), build)
    if (folder / TABLE).is_file():
        return folder
    with locked(cache / f"{folder.name}.lock"):
        if not (folder / TABLE).is_file():
            with whole_folder(folder) as temporary:
                build(paths, temporary)
                temporary.chmod(0o755)
    return folder


@lru_cache(maxsize=1)
def code_of_readers(package: Path) -> bytes:
    """Hash of the files in the folders READERS of ``package``; reading them takes 2 ms."""
    digest = hashlib.blake2b(digest_size=16)
    for folder in READERS:
        for path in sorted((package / folder).glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.digest()


def _content_hash(path: Path, cache: Path) -> str:
    """Hash of a file, or of the shards of a detection store."""
    if (path / "detections").is_dir():
        path = path / "detections"
    if not path.is_dir():
        return _file_hash(path, cache)
    shards = sorted(path.glob("*.h5"))
    if not shards:
        raise UserError(f"{path}: is a folder; give the annotation file itself")
    hashes = [_file_hash(shard, cache) for shard in shards]
    return hashlib.blake2b(json.dumps(hashes).encode(), digest_size=16).hexdigest()


def _file_hash(path: Path, cache: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        raise UserError(f"{path}: no such file") from None
    state = [
        str(path.resolve()),
        status.st_size,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]
    name = hashlib.blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()
    note = cache / "seen" / name
    with contextlib.suppress(OSError, ValueError):
        if _is_own(note) and HASH.fullmatch(known := note.read_text()):
            return known
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    with whole_file(note) as temporary:
        temporary.write_text(digest)
    return digest


def _is_own(path: Path) -> bool:
    """Whether nobody else but the administrator can have written ``path``."""
    return path.stat().st_uid in (os.geteuid(), 0)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file ``path``, which is made and stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
