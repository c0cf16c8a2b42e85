"""The backbone of a trained model as a weight file that other models can start from."""

from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from lvistk.errors import UserError
from lvistk.whole_file import whole_file

PREFIX = "backbone.body."
MODEL = "model.safetensors"


def write_backbone(source: Path, out: Path, *, half: bool) -> str:
    """Write the backbone of ``source`` (stage folder or model.safetensors) to ``out``; says how much.

    The names are those of the backbone's own library, so that ``backbone.weights`` takes the file.
    half: store float16, half the size; weights keep three digits.
    """
    path = source / MODEL if source.is_dir() else source
    try:
        tensors = safetensors.numpy.load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such model file") from None
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable model file: {error}") from None
    body = {
        name.removeprefix(PREFIX): value.astype(np.float16) if half else value
        for name, value in tensors.items()
        if name.startswith(PREFIX) and not name.endswith("num_batches_tracked")
    }
    if not body:
        raise UserError(f"{path}: holds no backbone; give a model that train-repr has made")
    with whole_file(out) as temporary:
        temporary.write_bytes(safetensors.numpy.save(body))
    return f"{len(body)} tensors, {out.stat().st_size / 1e6:.2f} MB"
