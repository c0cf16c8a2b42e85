"""Where compiled kernels are kept, and how a kernel is declared.

numba notices a change of the file that holds a kernel, but not of a file whose kernels it calls. So the
cache folder carries a digest of all files with kernels: after an upgrade or an edit nothing stale is loaded.
"""

import contextlib
import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys

from lvistk import console

HERE = Path(__file__).parent
OPENING = threading.Lock()
"""Held while numba's setting of the folder, which all threads share, is ours."""
CONSTANTS = (
    "arrays.py",
    "blocks.py",
    "codes.py",
    "columns.py",
    "complaints.py",
    "ranges.py",
    "records.py",
    "wide.py",
)
"""Files without kernels whose values or instructions are compiled into kernels."""
NUMBAS_OWN = ("_guard_against_spurious_io_errors", "_load_overload")
"""What the quick start needs of numba and numba does not promise; from 0.61 to 0.68 it is there."""
NUMBAS_FILES = ("_load_index", "_load_data", "_data_path", "_open_for_write")
"""The same of the checksums."""
numba_config: Any = config
"""Filled from the environment when it is imported, so no checker knows its names."""


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """The folder of this version's compiled kernels; None, with a warning, where none can be kept.

    The first that works: below ``NUMBA_CACHE_DIR``, beside the package, in the user's cache folder.
    numba's index of a cache is a pickle, and what it loads is run: a folder that belongs to somebody
    else, or in which others may write, is passed over.
    """
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(HERE.rglob("*.py")):
        text = path.read_bytes()
        if b"@kernel" in text or path.name in CONSTANTS:
            digest.update(path.name.encode() + text)
    name = f"lvistk-kernels-{digest.hexdigest()}"
    for base in _cache_bases():
        folder = base / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_private(folder):
                return folder
        except OSError:
            continue
    console.warn(
        "no folder for compiled code can be written by this user alone, so that it is compiled again in "
        "each run; name one in NUMBA_CACHE_DIR"
    )
    return None


def _is_private(folder: Path) -> bool:
    """Whether ``folder`` is this user's, who may write there while nobody else may."""
    status = folder.stat()
    own = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return own and os.access(folder, os.W_OK)


def _cache_bases() -> list[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    bases = [*([Path(chosen)] if chosen else []), HERE / "__pycache__"]
    with contextlib.suppress(RuntimeError):  # a user without a home folder, as in some containers
        bases.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lvistk")
    return bases


def is_compiled() -> bool:
    """Whether an earlier run left compiled kernels of this version."""
    folder = cache_folder()
    return folder is not None and any(folder.rglob("*_curves-*.nbc"))


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` for numbers and arrays, without the GIL, and keep the machine code.

    Division by zero gives inf or NaN as in numpy, and no operation is fused or reordered, so that
    floating-point results equal those of C code compiled for the plain instruction set.
    """
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)
    folder = cache_folder()
    if folder is not None:
        dispatcher._cache = _LateCache(function, folder)  # what njit(cache=True) does with its own
    return dispatcher


class _LateCache:
    """The cache of one kernel, opened when it is first asked for.

    Opening it writes a file to try the folder (0.4 ms), and most kernels are part of those that call them.
    """

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._function, self._folder = function, folder

    @cached_property
    def _opened(self) -> "_KernelCache":
        with OPENING:
            before = numba_config.CACHE_DIR
            numba_config.CACHE_DIR = str(self._folder)
            try:
                return _KernelCache(self._function)
            finally:
                numba_config.CACHE_DIR = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


class _CheckedFiles(IndexDataCacheFile):
    """numba's files of a kernel, each with its CRC-32 behind it; a damaged one is made again, not run."""

    def _load_index(self) -> Any:
        return super()._load_index() if _is_whole(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        if not _is_whole(self._data_path(name)):
            raise OSError(f"{name} is damaged")  # which numba takes for a file that is gone
        return super()._load_data(name)  # pickles end before the checksum

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:
        with super()._open_for_write(filepath) as file:
            yield file
            file.flush()
            file.write(_checksum(Path(file.name).read_bytes()))


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _is_whole(path: str) -> bool:
    """Whether a file ends in its checksum; a file that is not there is left to numba."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return True
    return data[-4:] == _checksum(data[:-4])


class _KernelCache(FunctionCache):
    """numba's cache, without the 0.15 s in which it makes ready for compiling before it loads anything."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        if all(hasattr(IndexDataCacheFile, name) for name in NUMBAS_FILES):
            self._cache_file = _CheckedFiles(
                cache_path=self._cache_path,
                filename_base=self._impl.filename_base,
                source_stamp=self._impl.locator.get_source_stamp(),
            )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if not all(hasattr(self, name) for name in NUMBAS_OWN):
            return super().load_overload(sig, target_context)
        rtsys.initialize(target_context)  # what loaded code allocates arrays with
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)
