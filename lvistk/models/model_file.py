"""model.safetensors: a model's weights with all that is needed to build and use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

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


def save_model(path: Path, model: MaskRCNN, *, extra: Mapping[str, Any]) -> None:
    """Write weights and, as metadata, settings, categories with counts, groups, versions, ``extra``.

    ``extra`` holds JSON values about the training, such as its seed and steps.
    """
    categories = model.categories
    groups = group_categories(
        categories.instance_count.tolist(), edges=model.settings.classifier.group_edges
    )
    table = {
        "kind": KIND,
        "settings": to_table(model.settings),
        "categories": categories.to_table(),
        "groups": [list(group) for group in groups.groups],
        "versions": artifacts.versions(),
        **extra,
    }
    write_tensors(path, model.state_dict(), table=table)


def load_model(path: Path, *, device: torch.device) -> MaskRCNN:
    """The model of a file, or of a stage folder that holds one, in eval mode on ``device``.

    Raises ``UserError`` where there is none, or where weights and settings do not fit.
    """
    file = model_path(path)
    table = model_table(file)
    settings = from_table(ModelSettings, table["settings"], where=f"{file} settings")
    categories = Categories.from_table(table["categories"])
    model = build_model(settings, categories)
    try:
        model.load_state_dict(read_tensors(file))
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{file}: weights do not fit its own settings: {detail}") from None
    return model.to(device).eval()


def model_path(path: Path) -> Path:
    """The file itself, or that of a stage folder."""
    return path / MODEL if path.is_dir() else path


def model_table(file: Path) -> dict[str, Any]:
    """A model's metadata, without its weights: settings, categories, groups, versions, extras."""
    table = read_table(file)
    if table.get("kind") != KIND:
        raise UserError(f"{file}: not a model of lvistk; give a stage folder or its {MODEL}")
    return table
