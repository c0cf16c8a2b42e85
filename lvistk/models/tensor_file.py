"""Tensors with JSON metadata in one safetensors file that appears whole, and runs no code when read.

A digest of names, shapes, metadata and bytes stands in the metadata: CRC-32, which Python's zlib computes at
2.5 GB/s on one core (measured; SHA-256 1.6, BLAKE2 0.6), finds every changed byte.
"""

import errno
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lvistk.errors import UserError
from lvistk.models.tensor_digest import DIGEST, KEY, Damaged, Piece, digest_of, split_table
from lvistk.whole_file import whole_file


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, table: Mapping[str, Any]) -> None:
    """Write ``tensors`` and the JSON values of ``table``; a full disk is a ``UserError``."""
    flat = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    text = json.dumps({DIGEST: _digest(flat, table), **table}, allow_nan=False)
    with whole_file(path, replaced=True) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(flat, temporary, metadata={KEY: text})
        except SafetensorError as error:  # its Rust side wraps the operating system's errors
            if f"os error {errno.ENOSPC}" in str(error):
                raise OSError(errno.ENOSPC, str(error)) from error
            raise UserError(f"{path}: cannot be written: {error}") from error
        temporary.chmod(mode)  # safetensors leaves files that only their owner can read


def is_ours(path: Path) -> bool:
    """Whether ``path`` is a safetensors file with a table of ours, sound or not."""
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_table(path: Path) -> dict[str, Any]:
    """The JSON values of a file of ours, without its tensors; ``UserError`` where it is not one."""
    return _table_and_digest(path)[0]


def number_of_values(path: Path) -> int:
    """How many numbers the tensors of a file of ours hold together; only its head is read."""
    with safe_open(path, framework="pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118  # no mapping
    return sum(math.prod(shape) for shape in shapes)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of ours, on the CPU; ``UserError`` where a byte is not as it was written."""
    table, digest = _table_and_digest(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from None
    if digest is not None and digest != _digest(tensors, table):
        raise UserError(
            f"{path}: damaged (its content does not match its digest{_and_not_finite(tensors)}); make it "
            "again"
        )
    return tensors


def _and_not_finite(tensors: Mapping[str, Tensor]) -> str:
    """What more is known of damaged tensors: somebody may have changed the weights of a sound file."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            return f", and '{name}' holds values that are not finite"
    return ""


def _table_and_digest(path: Path) -> tuple[dict[str, Any], str | None]:
    """Our table, and the digest unless the file is old."""
    try:
        return split_table(_text(path))
    except Damaged as error:
        raise UserError(f"{path}: its metadata are damaged ({error})") from None


def _text(path: Path) -> str:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from None
    if text is None:
        raise UserError(f"{path}: weights without lvistk's metadata; use lvistk import-weights")
    return text


def _digest(tensors: Mapping[str, Tensor], table: Mapping[str, Any]) -> str:
    pieces = (
        Piece(
            name,
            tuple(tensor.shape),
            str(tensor.dtype),
            tensor.contiguous().flatten().view(torch.uint8).numpy(),
        )
        for name, tensor in tensors.items()
    )
    return digest_of(pieces, table)
