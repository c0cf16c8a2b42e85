"""Checkpoints: the newest k, each whole, and the one before where the newest is broken.

``step_00000500.safetensors`` holds tensors and a JSON table; ``step_00000500.json``, written after it,
holds its digest. A checkpoint without its digest was never finished; one that does not match it is
broken.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from lvistk import console
from lvistk.errors import UserError
from lvistk.models.tensor_file import read_table, read_tensors, write_tensors
from lvistk.whole_file import write_json


class Checkpoint(NamedTuple):
    """``tensors`` by name, on the CPU, and a ``table`` of JSON values."""

    tensors: dict[str, Tensor]
    table: dict[str, Any]


def write_checkpoint(
    folder: Path, *, step: int, tensors: Mapping[str, Tensor], table: Mapping[str, Any], keep: int
) -> None:
    """Write the checkpoint of ``step`` and remove all but the newest ``keep`` (at least one)."""
    path = folder / f"step_{step:08d}.safetensors"
    write_tensors(path, tensors, table=table)
    write_json(path.with_suffix(".json"), {"step": step, "blake2b": _digest(path)})
    for old in _newest_first(folder)[max(keep, 1) :]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink(missing_ok=True)


def read_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or none; says so when it passes over a broken one."""
    for path in _newest_first(folder):
        try:
            _require_whole(path)
            return Checkpoint(read_tensors(path), read_table(path))
        except UserError as error:
            console.warn(f"{error}; the checkpoint before it is used")
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.safetensors"), reverse=True)


def _require_whole(path: Path) -> None:
    try:
        wanted = json.loads(path.with_suffix(".json").read_text())["blake2b"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: checkpoint was not finished") from None
    if _digest(path) != wanted:
        raise UserError(f"{path}: checkpoint is broken (its content does not match its digest)")


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "blake2b").hexdigest()
