"""Settings and inputs of an import of another toolbox's checkpoint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lvistk.config.inputs import path
from lvistk.config.model import ModelSettings
from lvistk.config.ranges import NotNegative, Seed


@dataclass(frozen=True)
class ImportWeightsSettings:
    """How a checkpoint of another toolbox becomes a model of ours."""

    seed: Seed = 0
    """Draws the rows of categories that the checkpoint does not have."""
    toolbox: Literal["auto", "detectron2", "mmdetection", "torchvision"] = "auto"
    style: Literal["auto", "pytorch", "caffe", "bgr"] = "auto"
    """How the backbone wants its input. ``pytorch``: RGB, mean and deviation of ImageNet; ``caffe``:
    MSRA's, BGR, deviation 1, stride in the first 1x1 convolution; ``bgr``: Caffe2's ResNeXts."""
    labels: Literal["same", "by_name", "leave_out"] = "same"
    """Which rows of the last layers are taken over: of the same category ids, of the same names
    (synonyms count), or none."""
    categories_order: Literal["id", "file"] = "id"
    """Order of the checkpoint's categories: ascending ids, or as the annotation file lists them."""
    norm_eps: NotNegative | None = None
    """What the toolbox adds to batch norm's variance; none: 1e-5, but 0 for torchvision's own COCO
    weights, which are known by their hash."""
    drop: tuple[str, ...] = ()
    """Beginnings of parameter names that the user gives up."""
    model: dict[str, Any] = field(default_factory=dict, metadata={"overrides": ModelSettings})
    """Changes to the settings that were inferred from the checkpoint."""


@dataclass(frozen=True)
class ImportWeightsInputs:
    checkpoint: Path | None = path(
        "Checkpoint of another toolbox: .pkl, .pth or .safetensors.",
        required=True,
        argument="CHECKPOINT",
    )
    categories: Path | None = path(
        "Annotation file (or JSON list) of the new model's categories; without it COCO's."
    )
    source_categories: Path | None = path(
        "The same of the checkpoint's categories, where those are others."
    )
