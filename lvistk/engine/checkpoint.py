"""Checkpoints: the newest k, each whole, the best, and the one before where the newest is broken.

``step_00000500.safetensors`` holds tensors, a JSON table and their digest; ``step_00000500.json``, written
after it, says that it was finished. ``best.safetensors`` is a copy of the one with the best validation
score, which ``best.json`` holds.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from lvistk import console
from lvistk.errors import UserError
from lvistk.models.tensor_file import read_table, read_tensors, write_tensors
from lvistk.whole_file import SAFETENSORS_PART, whole_file, write_json

BEST = "best.safetensors"


class Checkpoint(NamedTuple):
    """``tensors`` by name, on the CPU, and a ``table`` of JSON values."""

    tensors: dict[str, Tensor]
    table: dict[str, Any]


def write_checkpoint(
    folder: Path, *, step: int, tensors: Mapping[str, Tensor], table: Mapping[str, Any], keep: int
) -> None:
    """Write the checkpoint of ``step`` and remove all but the newest ``keep`` (at least one)."""
    path = _path(folder, step)
    write_tensors(path, tensors, table=table)
    write_json(path.with_suffix(".json"), {"step": step})
    for old in _newest_first(folder)[max(keep, 1) :]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink(missing_ok=True)


def keep_best(folder: Path, *, step: int, score: float | None) -> None:
    """Copy the checkpoint of ``step`` to ``best.safetensors`` if no score before was as high."""
    best = folder / BEST
    known = _read(best.with_suffix(".json")).get("score") if best.is_file() else None
    if score is None or (known is not None and known >= score):
        return
    with whole_file(best) as temporary:
        shutil.copyfile(_path(folder, step), temporary)
    write_json(best.with_suffix(".json"), {"step": step, "score": score})


def remove_leftovers(folder: Path) -> None:
    """Remove the partly written checkpoints of a run that was killed."""
    for pattern in (".*.part", SAFETENSORS_PART):
        for part in folder.glob(pattern):
            part.unlink(missing_ok=True)


def read_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or none; says so when it passes over a broken one."""
    for path in _newest_first(folder):
        try:
            _require_whole(path)
            return Checkpoint(read_tensors(path), read_table(path))
        except UserError as error:
            console.warn(f"{error}; the checkpoint before it is used")
    return None


def go_back(folder: Path, *, step: int) -> bool:
    """Remove the checkpoint of ``step`` and later ones, if an earlier one is whole; whether it is."""
    paths = _newest_first(folder)
    late = [path for path in paths if path >= _path(folder, step)]
    if not any(_is_whole(path) for path in paths if path not in late):
        return False
    for path in late:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return True


def _is_whole(path: Path) -> bool:
    try:
        _require_whole(path)
        read_tensors(path)
    except UserError:
        return False
    return True


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.safetensors"), reverse=True)


def _require_whole(path: Path) -> None:
    """Raise ``UserError`` unless it was finished and, for files of version 0.1.0, matches its digest.

    Later files hold their digest themselves.
    """
    finished = _read(path.with_suffix(".json"))
    if "step" not in finished:
        raise UserError(f"{path}: checkpoint was not finished")
    if "blake2b" in finished:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "blake2b").hexdigest()
        if digest != finished["blake2b"]:
            raise UserError(f"{path}: checkpoint is broken (its content does not match its digest)")


def _path(folder: Path, step: int) -> Path:
    return folder / f"step_{step:08d}.safetensors"


def _read(path: Path) -> dict[str, Any]:
    """The JSON table of ``path``; an empty one where there is none."""
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}
