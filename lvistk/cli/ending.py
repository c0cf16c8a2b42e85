"""How a command line ends: a user's mistake is one line and exit code 2."""

import errno
import sys
from collections.abc import Callable
from typing import NoReturn

from lvistk import console, no_memory
from lvistk.errors import UserError

NO_HOST_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "std::bad_alloc",
)
"""What torch says when the operating system gives it no more."""

OF_PATHS = {
    errno.EEXIST: "a file of this name is where a folder is needed; give another name",
    errno.ENOTDIR: "a part of this path is a file, not a folder; give another path",
    errno.EISDIR: "a folder is where a file is needed; give the file itself",
    errno.EACCES: "its permissions, or those of its folder, forbid it; change them or give another path",
    errno.EROFS: "the disk is mounted for reading only; give a path elsewhere",
}
"""What to do about a path that the operating system refuses, by its number of the error."""


def end_process(run: Callable[[], int]) -> NoReturn:
    """Call ``run``, and leave the process with the exit code that it returns."""
    try:
        sys.exit(run())
    except UserError as error:
        console.fail(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        console.fail("stopped")
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        mend = OF_PATHS.get(error.errno or 0)
        console.fail(
            f"{error.filename or 'file'}: {error.strerror or error}" + (f"; {mend}" if mend else "")
        )
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        mend = _mend(error)
        if mend is None:
            raise
        console.fail(f"{mend}; {no_memory.GO_ON}")
        sys.exit(2)


def _mend(error: Exception) -> str | None:
    """What to change after a lost worker or an allocation that failed; None for any other error."""
    text = str(error)
    if "DataLoader worker" in text:
        return (
            "a data loader worker was killed, often because memory ran out: lower loader.workers or "
            "loader.prefetch"
        )
    device = type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text
    host = isinstance(error, MemoryError) or any(words in text for words in NO_HOST_MEMORY)
    if not device and not host:
        return None
    return no_memory.mend("device" if device else "host")
