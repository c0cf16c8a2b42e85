"""A folder of flat arrays that are appended to once and memory-mapped ever after.

One raw file per array, and ``arrays.json`` with types, shapes and checksums, written last.
"""

import contextlib
import json
import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lvistk.whole_file import whole_file

TABLE = "arrays.json"
CHECKED = "checked.json"
"""Sizes and times of the files when their checksums were last compared."""
CHUNK_BYTES = 1 << 24
DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What a damaged table or array raises, whatever its bytes became."""


class FlatWriter:
    """Arrays of a folder, each grown by ``append`` along its first axis.

    A context that closes the files; ``finish`` within it makes the folder complete.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._files: dict[str, Any] = {}
        self._table: dict[str, dict[str, Any]] = {}

    def append(self, name: str, values: np.ndarray) -> None:
        """Add rows to array ``name``; the first call fixes its type and row shape."""
        entry = self._table.get(name)
        if entry is None:
            entry = {"dtype": values.dtype.str, "shape": [0, *values.shape[1:]], "crc32": 0}
            self._table[name] = entry
            self._files[name] = (self.folder / f"{name}.bin").open("wb")
        if values.dtype.str != entry["dtype"] or list(values.shape[1:]) != entry["shape"][1:]:
            raise TypeError(f"{name}: {values.dtype.str} {values.shape} into {entry}")
        data = np.ascontiguousarray(values).data.cast("B") if values.size else b""
        self._files[name].write(data)
        entry["crc32"] = zlib.crc32(data, entry["crc32"])
        entry["shape"][0] += len(values)

    def finish(self, *, notes: Mapping[str, Any]) -> None:
        """Write the table, with ``notes`` (JSON values) in it.

        Nothing is forced to the disk: an array that a loss of power cuts short is shorter than the
        table says, which ``map_arrays`` refuses, and an index can be built again.
        """
        for handle in self._files.values():
            handle.flush()
        table = {"arrays": self._table, "notes": dict(notes)}
        table["crc32"] = _table_checksum(table)
        (self.folder / TABLE).write_text(json.dumps(table))

    def __enter__(self) -> "FlatWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as stack:  # closes the others too where a full disk fails one
            for handle in self._files.values():
                stack.callback(handle.close)


def map_arrays(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a folder, mapped read-only, and its notes.

    Raises ``OSError`` or ``ValueError`` where files are missing or shorter than the table says.
    """
    table = json.loads((folder / TABLE).read_text())
    arrays = {name: _map(folder / f"{name}.bin", entry) for name, entry in table["arrays"].items()}
    return arrays, table["notes"]


def check_arrays(folder: Path) -> bool:
    """Compare the checksums of a folder, unless its files are those of the last time; whether it was done.

    Raises ``OSError``, ``KeyError`` or ``ValueError`` for a file that is not as it was written.
    """
    note = folder / CHECKED
    table = json.loads((folder / TABLE).read_text())
    state = _state(folder, list(table["arrays"]))
    with contextlib.suppress(OSError, *DAMAGED):
        if json.loads(note.read_text()) == state:
            return False
    if _table_checksum(table) != table["crc32"]:
        raise ValueError(f"{folder / TABLE}: not as it was written")
    for name, entry in table["arrays"].items():
        path = folder / f"{name}.bin"
        if 0 not in entry["shape"] and checksum(path) != entry["crc32"]:
            raise ValueError(f"{path}: not as it was written")
    with contextlib.suppress(OSError), whole_file(note) as temporary:
        temporary.write_text(json.dumps(state))
    return True


def checksum(path: Path) -> int:
    """CRC-32 of a file; 0 for an empty one."""
    if not path.stat().st_size:
        return 0
    crc = 0
    with (
        path.open("rb") as handle,
        mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        for start in range(0, len(view), CHUNK_BYTES):
            crc = zlib.crc32(view[start : start + CHUNK_BYTES], crc)
    return crc


def _table_checksum(table: Mapping[str, Any]) -> int:
    text = json.dumps({"arrays": table["arrays"], "notes": table["notes"]}, sort_keys=True)
    return zlib.crc32(text.encode())


def _state(folder: Path, names: list[str]) -> list[list[Any]]:
    state = []
    for name in [TABLE, *(f"{name}.bin" for name in names)]:
        status = (folder / name).stat()
        times = status.st_mtime_ns, status.st_ctime_ns
        state.append([name, status.st_size, status.st_ino, *times])
    return state


def _map(path: Path, entry: dict[str, Any]) -> np.ndarray:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    if dtype.hasobject or dtype.names:
        raise ValueError(f"{path}: {dtype} is no type of numbers")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape).view(np.ndarray)
