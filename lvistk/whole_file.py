"""Files and folders that appear whole or not at all, and disks that fill up."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from lvistk.errors import UserError

SAFETENSORS_PART = ".tmp??????"
"""Names of the temporary files that safetensors writes beside a file; a killed process leaves them."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_file(path: Path, *, replaced: bool = False) -> Iterator[Path]:
    """A temporary path in the same folder that becomes ``path`` when the block ends well.

    The data reach the disk before the name does, so a killed process or a full disk leaves no half file. The
    temporary file is always the same as long as no other process writes ``path`` at the same time: what a
    killed process left of it goes when the file is written again.

    replaced: the writer puts another file in the temporary one's place, which a lock cannot protect: it
    gets a name of this process's own.

    Raises ``UserError`` where ``path`` is a folder. An ``OSError`` names ``path``, not the temporary file.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give the name of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with room_for(path):
        lock = None if replaced else _locked(temporary)
    if lock is None:
        temporary = path.with_name(f".{path.name}.{os.uname().nodename[:32]}.{os.getpid()}.part")
    try:
        with room_for(path):
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # some writers' files are for their owner alone
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            error.filename = str(path)
        temporary.unlink(missing_ok=True)
        raise
    finally:  # from the new name on, the temporary file of this name may be another process's
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The path of a temporary folder beside ``path`` that becomes it when the block ends well.

    The caller holds a lock. What killed writers left goes first; a folder that is there is replaced, and
    processes that have its files open keep them.
    """
    for left in path.parent.glob(f".{path.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock of the emptied file ``path``.

    None where another process has it, or where files cannot be locked.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in FULL:
            raise
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named = path.lstat()
        if (named.st_dev, named.st_ino) == (os.fstat(handle).st_dev, os.fstat(handle).st_ino):
            os.ftruncate(handle, 0)
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


@contextlib.contextmanager
def room_for(path: Path) -> Iterator[None]:
    """A disk that fills up inside the block, or a quota that is reached, is a ``UserError``."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise UserError(f"{path}: the disk is full; free space and run again") from error
        raise


@lru_cache(maxsize=1)
def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """JSON of two spaces' indent, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )
