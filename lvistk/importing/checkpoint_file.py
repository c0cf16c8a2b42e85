"""Checkpoints of other toolboxes, read without running code of theirs.

The one reader of foreign files: safetensors, torch files old and new, and plain pickles with numpy
arrays, as detectron2's model zoo has them.
"""

import pickle
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from lvistk.errors import UserError
from lvistk.importing.restricted_pickle import Inert, Storage, StorageKind, load_restricted

WEIGHT_KEYS = ("state_dict", "model", "model_state_dict", "model_state")
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first number of a torch file of before 1.6."""


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
    """The tensors of a checkpoint, unwrapped from ``state_dict`` or ``model`` where they lie there.

    Objects of unknown classes beside them stay placeholders without content. Raises ``UserError``,
    naming the file, where it is missing, cut off, no checkpoint, or holds no tensors.
    """
    try:
        content = _read(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception as error:  # a broken or hostile pickle can raise anything
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: not a whole checkpoint of a kind that can be read: {reason}"
        ) from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds {type(content).__name__}, not a table of weights")
    meta = content.get("meta", {})
    table = next((content[k] for k in WEIGHT_KEYS if isinstance(content.get(k), Mapping)), content)
    found = {name: _as_tensor(value) for name, value in table.items() if isinstance(name, str)}
    tensors = {name: value for name, value in found.items() if value is not None}
    if not tensors:
        raise UserError(f"{path}: holds no weights (looked under {', '.join(WEIGHT_KEYS)})")
    return CheckpointFile(
        path=path,
        tensors=_without_common_prefix(tensors),
        strangers=tuple(name for name, value in found.items() if value is None),
        meta=meta if isinstance(meta, Mapping) else {},
    )


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            return _read_stream(file)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # classes that torch doesn't know, as mmdetection's meta holds
        return _read_zip(path)


def _read_stream(file: IO[bytes]) -> Any:
    """A plain pickle, or a torch file of before 1.6: pickles in a row, then the storages' bytes."""
    first = load_restricted(file)
    if first != LEGACY_MAGIC:
        return first
    load_restricted(file)  # version of the format
    load_restricted(file)  # byte order and sizes of the writing machine
    storages: dict[str, tuple[torch.UntypedStorage, torch.dtype]] = {}

    def load_storage(pid: Any) -> Storage:
        _, kind, key, _, count, *_ = pid
        if key not in storages:
            storages[key] = (torch.UntypedStorage(count * _dtype(kind).itemsize), _dtype(kind))
        return Storage(*storages[key])

    content = load_restricted(file, load_storage=load_storage)
    for key in load_restricted(file):
        data, dtype = storages[key]
        count = int.from_bytes(file.read(8), "little")
        raw = file.read(count * dtype.itemsize)
        if len(raw) != data.nbytes():
            raise EOFError("the file ends within its weights")
        data.copy_(torch.frombuffer(bytearray(raw), dtype=torch.uint8).untyped_storage())
    return content


def _read_zip(path: Path) -> Any:
    """A torch file since 1.6: a zip with data.pkl and one member a storage."""
    with zipfile.ZipFile(path) as archive:
        root = next(n for n in archive.namelist() if n.endswith("/data.pkl")).removesuffix(
            "data.pkl"
        )
        if f"{root}byteorder" in archive.namelist():
            order = archive.read(f"{root}byteorder").decode()
            if order != sys.byteorder:
                raise ValueError(f"written on a {order}-endian machine")
        storages: dict[str, torch.UntypedStorage] = {}

        def load_storage(pid: Any) -> Storage:
            _, kind, key, _, count = pid
            dtype = _dtype(kind)
            if key not in storages:
                raw = bytearray(archive.read(f"{root}data/{key}"))
                if len(raw) < count * dtype.itemsize:
                    raise EOFError("a tensor's data are cut off")
                flat = torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0)
                storages[key] = flat.untyped_storage()
            return Storage(storages[key], dtype)

        return load_restricted(archive.read(f"{root}data.pkl"), load_storage=load_storage)


def _dtype(kind: Any) -> torch.dtype:
    if not isinstance(kind, StorageKind):
        raise pickle.UnpicklingError("tensor data of an unknown type")
    return kind.dtype


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray | np.number) and not isinstance(value, Inert):
        array = np.asarray(value)
        if array.dtype.kind in "fiub":
            return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    return None


def _without_common_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without the ``module.`` that torch's parallel wrappers put before all of them."""
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors
