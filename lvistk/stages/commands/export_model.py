"""A model alone, out of a stage folder or a checkpoint, as a file to pass on."""

from pathlib import Path

import torch
from torch import Tensor

from lvistk.errors import UserError
from lvistk.models.model_file import load_model, model_path, model_table
from lvistk.models.tensor_file import write_tensors


def write_model(source: Path, out: Path, *, half: bool) -> str:
    """Write the model of ``source`` (stage folder, model or checkpoint) to ``out``; says how much.

    half: store float16, half the size; weights keep three digits. Models are built in float32 again.

    Raises ``UserError`` as ``load_model`` does, and where a weight is too large for float16.
    """
    model = load_model(source, device=torch.device("cpu"))
    tensors = model.state_dict()
    if half:
        tensors = {
            name: _halved(value, name=name, source=source) for name, value in tensors.items()
        }
    write_tensors(out, tensors, table=model_table(model_path(source)))
    return f"{len(tensors)} tensors, {out.stat().st_size / 1e6:.2f} MB"


def _halved(value: Tensor, *, name: str, source: Path) -> Tensor:
    if not value.is_floating_point():
        return value
    half = value.half()
    if not half.isfinite().all():
        raise UserError(f"{source}: '{name}' is too large for half precision; leave out --half")
    return half
