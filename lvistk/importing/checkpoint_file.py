"""Checkpoints of other toolboxes, read without running code of theirs.

The one reader of files that are not ours: safetensors, torch files old and new, and plain pickles with
numpy arrays, as detectron2's model zoo has them.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from lvistk.errors import UserError
from lvistk.importing.pickle_values import Array
from lvistk.importing.restricted_pickle import load_restricted
from lvistk.importing.torch_archive import LEGACY_MAGIC, read_legacy, read_zip

WEIGHT_KEYS = (
    *("state_dict", "model", "model_state_dict", "model_state"),
    *("module", "model_ema", "ema", "ema_state_dict", "state_dict_ema"),
)
"""Where toolboxes keep weights in a checkpoint, the trained ones before averaged ones."""
PREFIXES = ("module.", "model.", "_orig_mod.", "ema.")
"""What wrappers put before all names: parallel, Lightning's, compiled and averaged models."""
MAX_WRAPPED = 4
MAX_REPEATED = 1 << 32
"""Bytes that tensors may declare beyond those of the file, by using elements more than once."""


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint of another toolbox.

    path: where it lies.
    tensors: by name.
    strangers: names whose value is no tensor.
    meta: what the toolbox wrote about its training; empty where it wrote nothing.
    """

    path: Path
    tensors: dict[str, Tensor]
    strangers: tuple[str, ...]
    meta: Mapping[str, Any]


def read_checkpoint_file(path: Path) -> CheckpointFile:
    """The tensors of a checkpoint, without the wrappers of ``WEIGHT_KEYS`` and ``PREFIXES``.

    Objects of unknown classes beside them stay without content. Raises ``UserError``, naming the
    file, where it is missing, cut off, not a checkpoint, or holds no tensors.
    """
    try:
        content = _read(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (
        Exception
    ) as error:  # a broken or hostile file can raise anything in zipfile or safetensors
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: not a whole checkpoint of a kind that can be read: {reason}"
        ) from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds {type(content).__name__}, not a table of weights")
    meta = content.get("meta", {})
    table = _weight_table(content)
    values = {name: _as_tensor(value) for name, value in table.items() if isinstance(name, str)}
    tensors = {name: value for name, value in values.items() if value is not None}
    if not tensors:
        raise UserError(f"{path}: holds no weights (looked under {', '.join(WEIGHT_KEYS)})")
    _require_possible_size(tensors, path)
    return CheckpointFile(
        path=path,
        tensors=_without_common_prefix(tensors),
        strangers=tuple(name for name, value in values.items() if value is None),
        meta=meta if isinstance(meta, Mapping) else {},
    )


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    if zipfile.is_zipfile(path):
        return read_zip(path)
    with path.open("rb") as file:
        first = load_restricted(file)
        if first == LEGACY_MAGIC and type(first) is int:
            return read_legacy(file, size=path.stat().st_size)
        return first


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Array) and value.value is not None:
        own_order = value.value.dtype.newbyteorder("=")
        return torch.from_numpy(np.array(value.value, dtype=own_order))
    return value if isinstance(value, Tensor) else None


def _require_possible_size(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Elements may be used more than once, but not until the tensors fill any memory."""
    declared = sum(value.numel() * value.element_size() for value in tensors.values())
    if declared > path.stat().st_size + MAX_REPEATED:
        raise UserError(
            f"{path}: declares {declared / 2**30:.0f} GiB of weights, far more than the file holds"
        )


def _weight_table(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The table of weights in a checkpoint, which may lie under several names inside one another."""
    for _ in range(MAX_WRAPPED):
        inside = (content[key] for key in WEIGHT_KEYS if isinstance(content.get(key), Mapping))
        content = next(inside, content)
    return content


def _without_common_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what wrappers have put before all of them."""
    for _ in range(MAX_WRAPPED):
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in tensors):
                tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
