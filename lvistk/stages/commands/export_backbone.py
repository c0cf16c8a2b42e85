"""The backbone of a trained model as a weight file that other models can start from."""

from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from lvistk.errors import UserError
from lvistk.models.tensor_digest import KEY, Damaged, Piece, digest_of, split_table
from lvistk.whole_file import whole_file

PREFIX = "backbone.body."
MODEL = "model.safetensors"


def write_backbone(source: Path, out: Path, *, half: bool) -> str:
    """Write the backbone of ``source`` (stage folder or model.safetensors) to ``out``; says how much.

    The names are those of the backbone's own library, so that ``backbone.weights`` takes the file. Raises
    ``UserError`` where a byte of the source is not as it was written, or a weight is not finite.
    half: store float16, half the size; weights keep three digits.
    """
    path = source / MODEL if source.is_dir() else source
    body = {
        name.removeprefix(PREFIX): value
        for name, value in _tensors(path).items()
        if name.startswith(PREFIX) and not name.endswith("num_batches_tracked")
    }
    if not body:
        raise UserError(f"{path}: holds no backbone; give a model that train-repr has made")
    for name, value in body.items():
        if not np.isfinite(value).all():
            raise UserError(
                f"{path}: '{name}' holds values that are not finite; take another model"
            )
    if half:
        body = {name: value.astype(np.float16) for name, value in body.items()}
    with whole_file(out) as temporary:
        temporary.write_bytes(safetensors.numpy.save(body))
    return f"{len(body)} tensors, {out.stat().st_size / 1e6:.2f} MB"


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a model file, compared with its digest; torch is not needed for that."""
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        table, digest = ({}, None) if text is None else split_table(text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such model file") from None
    except Damaged as error:
        raise UserError(f"{path}: its metadata are damaged ({error})") from None
    except (SafetensorError, OSError, TypeError) as error:
        raise UserError(f"{path}: not a readable model file: {error}") from None
    pieces = (
        Piece(name, value.shape, f"torch.{value.dtype}", np.ascontiguousarray(value).data)
        for name, value in tensors.items()
    )
    if digest is not None and digest_of(pieces, table) != digest:
        raise UserError(f"{path}: damaged (its content does not match its digest); make it again")
    return tensors
