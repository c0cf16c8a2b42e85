"""A model to detect with, whoever trained it."""

from pathlib import Path
from typing import NamedTuple

import torch

from lvistk.config.importing import ImportWeightsInputs, ImportWeightsSettings
from lvistk.config.load import from_table
from lvistk.config.model import ModelSettings
from lvistk.errors import UserError
from lvistk.importing.importer import import_checkpoint
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import (
    InputSize,
    input_size,
    load_model,
    model_path,
    model_table,
)
from lvistk.models.tensor_file import is_ours


class LoadedModel(NamedTuple):
    """A network in eval mode, and the image sides that it was trained at."""

    network: MaskRCNN
    size: InputSize


def load_any_model(path: Path, *, device: torch.device) -> LoadedModel:
    """The model of a stage folder, of a model file or checkpoint of lvistk, or of a checkpoint of detectron2,
    mmdetection or torchvision with COCO's categories.

    Raises ``UserError`` where there is no model, or it is damaged.
    """
    file = _existing(path)
    if is_ours(file):
        return LoadedModel(load_model(path, device=device), input_size(path))
    return LoadedModel(_imported(file).to(device).eval(), InputSize())


def describe_any_model(path: Path) -> tuple[ModelSettings, InputSize]:
    """The settings of what ``load_any_model`` loads, and the image sides; raises ``UserError`` as it does."""
    file = _existing(path)
    if is_ours(file):
        settings = from_table(ModelSettings, model_table(file)["settings"], where=str(file))
        return settings, input_size(path)
    return _imported(file).settings, InputSize()


def _existing(path: Path) -> Path:
    file = model_path(path)
    if not file.is_file():
        raise UserError(f"{file}: no such model; give a stage folder or a model file")
    return file


def _imported(file: Path) -> MaskRCNN:
    return import_checkpoint(ImportWeightsSettings(), ImportWeightsInputs(checkpoint=file)).model
