"""A folder of flat arrays that are appended to once and memory-mapped ever after.

One raw file an array and ``arrays.json`` with types and shapes, written last.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TABLE = "arrays.json"


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
            entry = {"dtype": values.dtype.str, "shape": [0, *values.shape[1:]]}
            self._table[name] = entry
            self._files[name] = (self.folder / f"{name}.bin").open("wb")
        if values.dtype.str != entry["dtype"] or list(values.shape[1:]) != entry["shape"][1:]:
            raise TypeError(f"{name}: {values.dtype.str} {values.shape} into {entry}")
        self._files[name].write(np.ascontiguousarray(values).data if values.size else b"")
        entry["shape"][0] += len(values)

    def finish(self, *, notes: Mapping[str, Any]) -> None:
        """Write the table, with ``notes`` (JSON values) in it.

        Nothing is forced to the disk: an array that a loss of power cuts short is shorter than the
        table says, which ``map_arrays`` refuses, and an index can be built again.
        """
        for handle in self._files.values():
            handle.flush()
        table = {"arrays": self._table, "notes": dict(notes)}
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


def _map(path: Path, entry: dict[str, Any]) -> np.ndarray:
    shape = tuple(entry["shape"])
    if 0 in shape:
        return np.zeros(shape, entry["dtype"])
    return np.memmap(path, dtype=entry["dtype"], mode="r", shape=shape).view(np.ndarray)
