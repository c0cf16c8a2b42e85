"""One run at a time in a stage folder; jobs that each make a portion of it share the lock."""

import contextlib
import fcntl
import os
from pathlib import Path

from lvistk.errors import UserError

LOCK = ".lock"


class BusyError(UserError):
    """Another process is running this stage: nothing is wrong, and later it will be done."""


class StageLock:
    """A lock on the file ``.lock`` of a folder, held until ``release`` or the process's end.

    Several processes hold it together if each asked for it ``shared``; otherwise one has it alone.

    The file is removed while the lock is held, so that a process that had opened it before gets a lock
    on a file without a name; it notices and tries again with the file that has the name now.
    """

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        """Raises ``BusyError`` where another process holds the lock; ``UserError`` where ``.lock`` is a
        link."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._path = folder / LOCK
        while True:
            self._handle = _open(self._path)
            try:
                fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
            except OSError:
                os.close(self._handle)
                raise BusyError(f"{folder}: another process is running this stage") from None
            if self._is_current():
                return
            os.close(self._handle)

    def _is_current(self) -> bool:
        held = os.fstat(self._handle)
        try:
            named = self._path.lstat()
        except FileNotFoundError:
            return False
        return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)

    def release(self) -> None:
        """Let go; the last that holds the lock removes its file."""
        with contextlib.suppress(BlockingIOError):  # others share it
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_current():
                self._path.unlink()
        os.close(self._handle)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if path.is_symlink():
            raise UserError(f"{path}: is a link, which a run does not follow; remove it") from error
        raise


def remove_stale_lock(folder: Path) -> None:
    """Remove the lock of a run that was killed after it had finished; one that is held stays."""
    if (folder / LOCK).is_file():
        with contextlib.suppress(UserError, OSError):
            StageLock(folder).release()
