"""What an image costs in training and at inference: multiplications, which a rate turns into seconds.

Counts of multiply-add operations (MACs) are good for ratios, between image sizes and between steps and views.
The rate is measured on the machine with the planned model itself (``stages.forecasts.measure``), so that
what the counts leave out (data loading, NMS, memory traffic) is in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lvistk.config.inference import MergeSettings, ViewSettings
from lvistk.config.model import ModelSettings
from lvistk.config.train import AugmentSettings

BACKBONE_GMACS = {
    "resnet18": 1.8,
    "resnet34": 3.7,
    "resnet50": 4.1,
    "resnet101": 7.8,
    "tf_efficientnet_lite0": 0.4,
    "tf_efficientnet_lite2": 0.9,
    "resnest50d": 5.4,
}
"""Billions of MACs of an image of 224 x 224, as torchvision and timm list them."""
OTHER_GMACS = 4.1
"""Taken for a backbone that is not in the table."""
LEVELS = 4 / 3
"""Cells of all pyramid levels over those of P2."""
TRAINING = 3.0
"""Work of a training step over that of its forward pass: gradients of inputs and of weights join."""
DETECTIONS = 50
"""Masks of an image when rates are measured."""


@dataclass(frozen=True)
class Rates:
    """What this machine does, in billions of MACs per second, data loading included.

    training, inference: measured with the model of the plan.
    start_seconds: of a stage, before its first step.
    memory_gb: peak of a training step per image of the planned size; 0 where it is not known.
    inference_gb: peak of detecting on one image of that size, the model's weights not counted; 0: not known.
    """

    training: float
    inference: float
    start_seconds: float = 10.0
    memory_gb: float = 0.0
    inference_gb: float = 0.0


def training_gmacs(
    model: ModelSettings,
    augment: AugmentSettings,
    *,
    aspect: float = 4 / 3,
    batch: int = 1,
) -> float:
    """Billions of MACs of a training image, padded to the largest of its batch.

    aspect: longer side over shorter side of the batch (``batch_aspect``).
    """
    short, long = training_sides(augment, aspect=aspect, batch=batch)
    rois = model.box.batch_per_image
    heads = _box_gmacs(model, rois) + _mask_gmacs(model, rois * model.box.positive_fraction)
    return TRAINING * (_dense_gmacs(model, short * long) + heads)


def training_sides(augment: AugmentSettings, *, aspect: float, batch: int = 1) -> tuple[int, int]:
    """Shorter and longer side that the images of a batch are padded to, each of its own random size."""
    short = _largest_edge(sorted(augment.short_edges), batch, mode=augment.short_edge_mode)
    sides = short, min(short * aspect, augment.long_edge)
    padded = [_padded(min(side, augment.crop or side)) for side in sides]
    return padded[0], padded[1]


def batch_aspect(aspects: np.ndarray, batch: int) -> float:
    """Longer side over shorter side of the largest of ``batch`` images, of their ``aspects (I,)``."""
    return float(np.quantile(aspects, batch / (batch + 1)))


def _largest_edge(edges: Sequence[int], draws: int, *, mode: str) -> float:
    """The largest shorter side to be expected of so many draws."""
    if mode == "range":
        return edges[0] + (edges[-1] - edges[0]) * draws / (draws + 1)
    below = (np.arange(len(edges) + 1) / len(edges)) ** draws  # chance that all draws are below
    return float(np.diff(below) @ np.asarray(edges))


def _padded(side: float) -> int:
    """Batches are padded to multiples of 32."""
    return -(-round(side) // 32) * 32


def inference_gmacs(
    model: ModelSettings,
    views: ViewSettings,
    *,
    masks: int = DETECTIONS,
    aspect: float = 4 / 3,
) -> float:
    """Billions of MACs of an image in all its views, with so many ``masks`` (``masks_made``)."""
    work = 0.0
    for short in views.short_edges:
        long = min(short * aspect, views.long_edge)
        shorter = min(short, long)
        dense = _dense_gmacs(model, shorter * long)
        work += (1 + views.flip) * (dense + _box_gmacs(model, model.rpn.post_nms_test))
    return work + _mask_gmacs(model, masks)


def masks_made(views: ViewSettings, merge: MergeSettings) -> int:
    """Masks of an image that the model makes, where as many detections are found as are kept."""
    match merge.mask_source:
        case "found":
            each = 1
        case "selected":  # a first one measures the area ratio
            each = 2
        case "average":
            each = len(views.short_edges) * (1 + views.flip)
    return merge.max_detections * each


def _dense_gmacs(model: ModelSettings, pixels: float) -> float:
    """Backbone, pyramid and RPN, which look at every cell."""
    backbone = BACKBONE_GMACS.get(model.backbone.name, OTHER_GMACS)
    channels = model.fpn.channels
    cells = pixels / 16 * LEVELS
    per_cell = 2 * 9 * channels**2 + 256 * model.backbone.width * channels
    return backbone * model.backbone.width**2 * pixels / 224**2 + cells * per_cell / 1e9


def _box_gmacs(model: ModelSettings, rois: float) -> float:
    box = model.box
    inputs = model.fpn.channels * box.pool_size**2
    layers = inputs * box.fc_channels + (box.fc_layers - 1) * box.fc_channels**2
    return len(model.cascade.ious) * rois * layers / 1e9


def _mask_gmacs(model: ModelSettings, rois: float) -> float:
    mask = model.mask
    if not mask.enabled:
        return 0.0
    convs = (mask.convs + mask.extra_convs) * 9 * mask.channels**2 * mask.pool_size**2
    upsampled = 4 * mask.pool_size**2 * mask.channels**2
    scoring = _mask_iou_macs(model) if mask.mask_iou else 0.0
    return rois * (convs + upsampled + scoring) / 1e9


def _mask_iou_macs(model: ModelSettings) -> float:
    """MACs of the mask scoring head for an RoI."""
    mask = model.mask
    width, hidden, cells = mask.mask_iou_channels, mask.mask_iou_fc_channels, mask.pool_size**2
    kept = ((mask.pool_size + 1) // 2) ** 2  # cells after the last convolution, of stride 2
    inputs = model.fpn.channels + 1 + 2 * width
    convs = 9 * width * (inputs * cells + width * kept)
    return convs + kept * width * hidden + hidden**2
