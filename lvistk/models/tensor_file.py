"""Tensors with JSON metadata in one safetensors file that appears whole, and runs no code when read."""

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lvistk.errors import UserError
from lvistk.whole_file import whole_file

KEY = "lvistk"
"""safetensors metadata are flat strings; ours is one JSON text under this name."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, table: Mapping[str, Any]) -> None:
    """Write ``tensors`` and the JSON values of ``table``; a full disk is a ``UserError``."""
    flat = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with whole_file(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(flat, temporary, metadata={KEY: json.dumps(table, allow_nan=False)})
        except SafetensorError as error:  # its Rust side wraps the operating system's errors
            if f"os error {errno.ENOSPC}" in str(error):
                raise OSError(errno.ENOSPC, str(error)) from error
            raise UserError(f"{path}: cannot be written: {error}") from error
        temporary.chmod(mode)  # safetensors leaves files that only their owner can read


def read_table(path: Path) -> dict[str, Any]:
    """The JSON values of a file of ours, without its tensors; ``UserError`` where it is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from None
    if text is None:
        raise UserError(f"{path}: weights without lvistk's metadata; use lvistk import-weights")
    return json.loads(text)


def read_tensors(path: Path, *, device: torch.device | None = None) -> dict[str, Tensor]:
    """The tensors of a file that ``read_table`` has accepted."""
    try:
        with safe_open(path, framework="pt", device=str(device or "cpu")) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from None
