"""Where compiled kernels are kept, and how a kernel is declared.

numba notices a change of the file that holds a kernel, but not of a file whose kernels it calls. So the
cache folder carries a digest of all files with kernels: after an upgrade or an edit nothing stale is loaded.
"""

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config

HERE = Path(__file__).parent
CONSTANTS = ("ranges.py", "records.py", "truth.py", "wide.py")
"""Files without kernels whose values or instructions are compiled into kernels."""
numba_config: Any = config
"""Filled from the environment when it is imported, so no checker knows its names."""


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """The folder of this version's compiled kernels; None where none can be written.

    The first that works: below ``NUMBA_CACHE_DIR``, beside the package, in the user's cache folder.
    """
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(HERE.glob("*.py")):
        text = path.read_bytes()
        if b"@kernel" in text or path.name in CONSTANTS:
            digest.update(path.name.encode() + text)
    name = f"lvistk-kernels-{digest.hexdigest()}"
    for base in _cache_bases():
        folder = base / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def _cache_bases() -> list[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lvistk"
    return [*([Path(chosen)] if chosen else []), HERE / "__pycache__", user]


def is_compiled() -> bool:
    """Whether an earlier run left compiled kernels of this version."""
    folder = cache_folder()
    return folder is not None and any(folder.rglob("*scan_records-*.nbc"))


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` for numbers and arrays, without the GIL, and keep the machine code.

    Division by zero gives inf or NaN as in numpy, and no operation is fused or reordered, so that
    floating-point results equal those of C code compiled for the plain instruction set.
    """
    folder = cache_folder()
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(folder or "")
    try:
        return numba.njit(nogil=True, cache=folder is not None, error_model="numpy")(function)
    finally:
        numba_config.CACHE_DIR = before
