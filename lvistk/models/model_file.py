"""model.safetensors: a model's weights with all that is needed to build and use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lvistk import artifacts
from lvistk.config.load import from_table, to_table
from lvistk.config.model import ModelSettings
from lvistk.errors import UserError
from lvistk.losses.group_softmax import group_categories
from lvistk.models.build import build_model
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.tensor_file import read_table, read_tensors, write_tensors
from lvistk.structures.categories import Categories

MODEL = "model.safetensors"
KIND = "lvistk.model"
CHECKPOINT_KIND = "lvistk.checkpoint"
"""Of a training, whose weights are read as a model too."""


class InputSize(NamedTuple):
    """Image sides in pixels that a model was trained at: the largest short edge, the limit of the long."""

    short_edge: int = 800
    long_edge: int = 1333


def save_model(path: Path, model: MaskRCNN, *, extra: Mapping[str, Any]) -> None:
    """Write weights and, as metadata, ``describe_model`` and ``extra``.

    ``extra`` holds JSON values about the training, such as its seed and steps.
    """
    write_tensors(path, model.state_dict(), table={**describe_model(model), **extra})


def describe_model(model: MaskRCNN) -> dict[str, Any]:
    """Settings, categories with counts, groups and versions as JSON values: a model without its weights."""
    categories = model.categories
    groups = group_categories(
        categories.instance_count.tolist(), edges=model.settings.classifier.group_softmax.edges
    )
    return {
        "kind": KIND,
        "settings": to_table(model.settings),
        "categories": categories.to_table(),
        "groups": [list(group) for group in groups.groups],
        "versions": artifacts.versions(),
    }


def load_model(path: Path, *, device: torch.device) -> MaskRCNN:
    """The model of a file, of a checkpoint, or of a stage folder that holds one, in eval mode on ``device``.

    Of a checkpoint with averaged weights these are taken.

    Raises ``UserError`` where there is none, where it is damaged, where weights and settings do not fit, or
    where a weight is not finite.
    """
    file = model_path(path)
    settings, categories = _description(file)
    tensors = _weights(read_tensors(file))
    _require_plausible(settings, tensors, file)
    model = build_model(settings, categories)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{file}: weights do not fit its own settings: {detail}") from None
    _require_finite(tensors, file)
    return model.to(device).eval()


def model_categories(path: Path) -> Categories:
    """The categories of a model, without its weights. Raises ``UserError`` as ``load_model`` does."""
    return _description(model_path(path))[1]


def _description(file: Path) -> tuple[ModelSettings, Categories]:
    table = model_table(file)
    try:
        settings = from_table(ModelSettings, table["settings"], where=f"{file} settings")
        return settings, Categories.from_table(table["categories"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{file}: its metadata are damaged ({error!r})") from None


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's own tensors, also out of those of a checkpoint: averaged ones before the last ones."""
    if not any(name.startswith("model.") for name in tensors):
        return dict(tensors)
    return {
        name.removeprefix(prefix): value
        for prefix in ("model.", "average.")
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _require_plausible(settings: ModelSettings, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Refuse settings of a model far larger than the weights, before it is built."""
    largest = max((max(tensor.shape, default=1) for tensor in tensors.values()), default=1)
    box, mask = settings.box, settings.mask
    layers = (box.fc_layers, mask.convs, mask.extra_convs, len(settings.cascade.ious))
    widths = (
        box.fc_channels,
        box.pool_size**2,
        mask.channels,
        mask.pool_size,
        settings.fpn.channels,
    )
    too_wide = max(widths) > max(largest, 1024) or settings.backbone.width > largest
    if max(layers) > len(tensors) or too_wide:
        raise UserError(f"{file}: its settings describe a far larger model than its weights")


def _require_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            low, high = torch.aminmax(tensor)  # both are NaN where any value is
            if not (low.isfinite() and high.isfinite()):
                raise UserError(
                    f"{file}: '{name}' holds values that are not finite: the training that made it "
                    "diverged; take an earlier model or train again"
                )


def model_path(path: Path) -> Path:
    """The file itself, or that of a stage folder."""
    return path / MODEL if path.is_dir() else path


def model_table(file: Path) -> dict[str, Any]:
    """A model's or checkpoint's metadata, without its weights: settings, categories, groups, versions."""
    table = read_table(file)
    if table.get("kind") == CHECKPOINT_KIND and isinstance(table.get("model"), dict):
        table = table["model"]
    if table.get("kind") != KIND:
        raise UserError(f"{file}: not a model of lvistk; give a stage folder or its {MODEL}")
    return table


def input_size(path: Path) -> InputSize:
    """The image size that the model at ``path`` was trained at, by its metadata or its stage's manifest.

    Imported models and files without either: 800 and 1333, as most published detectors.
    """
    file = model_path(path)
    written = model_table(file).get("input")
    stages = (file.parent, file.parent.parent)  # a checkpoint lies a folder deeper
    folder = next((one for one in stages if (one / artifacts.MANIFEST).is_file()), None)
    if written is None and folder is not None:
        augment = artifacts.read_manifest(folder, strict=True)["settings"].get("augment", {})
        written = {
            "short_edge": max(augment.get("short_edges", [0])),
            "long_edge": augment.get("long_edge", 0),
        }
    size = InputSize(**written) if isinstance(written, dict) else InputSize()
    return size if min(size) > 0 else InputSize()
