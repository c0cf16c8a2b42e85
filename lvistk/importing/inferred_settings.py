"""Model settings of a foreign checkpoint: what shapes tell, and what a toolbox does besides.

Everything here speaks of our parameter names, under which the tensors lie once translated.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from lvistk.config.load import merge
from lvistk.errors import UserError
from lvistk.importing.parameter_names import Toolbox
from lvistk.models.resnet import ARCHITECTURES, BasicBlock

Style = Literal["pytorch", "caffe", "bgr"]
Weights = Mapping[str, Tensor]

LAYERS = "backbone.body.layer"
LOGITS = "roi_heads.box_heads.{}.classifier.linear.weight"
DELTAS = "roi_heads.box_heads.{}.regression.weight"
MASKS = "roi_heads.mask.stages.{}.head."
EXTRA_CHANNELS = {0: "eql", 1: "softmax", 2: "seesaw"}
"""What a classifier is that has so many channels more than categories."""

TOOLBOX: dict[str, dict[str, Any]] = {
    "detectron2": {},  # our defaults are its LVIS recipe
    "mmdetection": {},
    "torchvision": {
        "rpn": {
            "rounded_anchors": True,
            "fitted_strides": True,
            "post_nms_train": 2000,
            "smooth_l1_beta": 1 / 9,
        },
        "box": {"aligned": False, "sampling_ratio": 2, "smooth_l1_beta": 1 / 9},
        "mask": {"sampling_ratio": 2},
    },
}
CASCADE: dict[str, dict[str, Any]] = {
    "detectron2": {
        "cascade": {
            "loss_weights": [1.0, 1.0, 1.0],
            "box_weights": [[s * 10.0, s * 10.0, s * 5.0, s * 5.0] for s in (1, 2, 3)],
            "average": "scores",
        },
        "rpn": {"post_nms_train": 2000},
    },
    "mmdetection": {
        "cascade": {
            "loss_weights": [1.0, 0.5, 0.25],
            "box_weights": [
                [1 / xy, 1 / xy, 1 / wh, 1 / wh]
                for xy, wh in ((0.1, 0.2), (0.05, 0.1), (0.033, 0.067))
            ],
        },
        "rpn": {"smooth_l1_beta": 1 / 9, "post_nms_train": 2000},
        "box": {"smooth_l1_beta": 1.0},
    },
}
MARKS: tuple[tuple[Toolbox, str], ...] = (
    ("detectron2", r"backbone\.bottom_up\.|proposal_generator\."),
    ("mmdetection", r"roi_head\.|rpn_head\."),
    ("torchvision", r"backbone\.body\.|roi_heads\.mask_predictor\."),
)
"""How names begin that only this toolbox has."""
INPUT: dict[str, dict[str, Any]] = {
    "pytorch": {},  # our default
    "caffe": {"image_std": [1.0, 1.0, 1.0], "backbone": {"stride_in_1x1": True}},
    "bgr": {},
}
"""``caffe``: MSRA's ResNets, BGR, not divided by a deviation, stride in the first 1x1 convolution.
``bgr``: Caffe2's ResNeXts, BGR, else as usual. Channels are turned to RGB while importing."""


def detect_toolbox(names: Mapping[str, Any]) -> Toolbox:
    """Whose parameter names these are."""
    for toolbox, mark in MARKS:
        if any(re.match(mark, name) for name in names):
            return toolbox
    raise UserError(
        f"no detector of detectron2, mmdetection or torchvision: the first parameter is "
        f"'{next(iter(names))}' (weights of a backbone alone go into --set model.backbone.weights "
        "of train-repr)"
    )


def detect_style(weights: Weights) -> Style:
    """How the backbone wants its input.

    Networks that were trained in Caffe and Caffe2 have their batch norm's statistics folded into
    scale and shift: all means are 0, all variances 1.
    """
    means = [value for name, value in weights.items() if name.endswith("running_mean")]
    if not means or any(value.any() for value in means):
        return "pytorch"
    return "bgr" if architecture(weights).startswith("resnext") else "caffe"


def shape_settings(weights: Weights, *, num_categories: int | None) -> dict[str, Any]:
    """The settings that names and shapes tell.

    num_categories: for a model all of whose boxes and masks are class-agnostic; others tell it.
    """
    stages = number_of(weights, r"roi_heads\.box_heads\.(\d+)\.")
    mask_stages = number_of(weights, r"roi_heads\.mask\.stages\.(\d+)\.")
    fc = _need(weights, "roi_heads.box_heads.0.fc.0.weight")
    channels = _need(weights, "neck.inner_blocks.0.0.weight").shape[0]
    categories = category_rows(weights, num_categories=num_categories)
    settings: dict[str, Any] = {
        "backbone": {"name": architecture(weights), **_deformable(weights)},
        "fpn": {"channels": channels},
        "box": {
            "fc_channels": fc.shape[0],
            "fc_layers": number_of(weights, r"roi_heads\.box_heads\.0\.fc\.(\d+)\."),
            "pool_size": round((fc.shape[1] / channels) ** 0.5),
            "class_agnostic": _need(weights, DELTAS.format(0)).shape[0] == 4,
        },
        "classifier": {"kind": _kind(weights, categories)},
        "mask": {"enabled": mask_stages > 0},
    }
    if mask_stages:
        predictor = _need(weights, f"{MASKS.format(0)}predictor.weight")
        settings["mask"] |= {
            "convs": number_of(weights, r"roi_heads\.mask\.stages\.0\.head\.convs\.(\d+)\."),
            "channels": predictor.shape[1],
            "class_agnostic": predictor.shape[0] == 1 and categories > 1,
        }
    if stages > 1:
        flows = f"{MASKS.format(1)}flow.weight" in weights
        settings["cascade"] = {
            "ious": [0.5, 0.6, 0.7][:stages],
            "mask_every_stage": mask_stages > 1,
            "interleaved": flows,
            "mask_flow": flows,
        }
    return settings


def toolbox_settings(toolbox: Toolbox, *, style: Style, stages: int, coco: bool) -> dict[str, Any]:
    """Settings that no shape tells: the toolbox's own configuration of such models."""
    settings = merge(TOOLBOX[toolbox], INPUT[style])
    if coco:
        settings["detection"] = {"score_threshold": 0.05, "max_detections": 100}
    if stages == 1:
        return settings
    if toolbox not in CASCADE or stages != 3:
        raise UserError(f"a cascade of {stages} stages is no model of {toolbox} that is known here")
    return merge(settings, CASCADE[toolbox])


def category_rows(weights: Weights, *, num_categories: int | None) -> int:
    """Number of categories that the last layers have rows for, background apart."""
    deltas = _need(weights, DELTAS.format(0)).shape[0]
    if deltas > 4:
        return deltas // 4
    predictor = weights.get(f"{MASKS.format(0)}predictor.weight")
    if predictor is not None and predictor.shape[0] > 1:
        return predictor.shape[0]
    channels = _need(weights, LOGITS.format(0)).shape[0]
    if num_categories is not None and channels - num_categories in EXTRA_CHANNELS:
        return num_categories
    return channels - 1


def architecture(weights: Weights) -> str:
    """The name of the ResNet or ResNeXt with these blocks."""
    depths = tuple(
        number_of(weights, rf"{re.escape(LAYERS)}{layer}\.(\d+)\.") for layer in (1, 2, 3, 4)
    )
    width, inputs = _need(weights, f"{LAYERS}1.0.conv2.weight").shape[:2]
    bottleneck = f"{LAYERS}1.0.conv3.weight" in weights
    for name, known in ARCHITECTURES.items():
        inner = known.width_per_group * known.groups
        same_kind = known.depths == depths and bottleneck == (known.block is not BasicBlock)
        if same_kind and (width, inputs) == (inner, inner // known.groups):
            return name
    raise UserError(
        f"a backbone of {depths} blocks with 3x3 convolutions {width} wide on {inputs} channels is none "
        f"of {', '.join(ARCHITECTURES)}"
    )


def number_of(weights: Weights, pattern: str) -> int:
    """How many different numbers the names have at the pattern's group."""
    return len({match[1] for name in weights if (match := re.match(pattern, name))})


def _kind(weights: Weights, categories: int) -> str:
    extra = _need(weights, LOGITS.format(0)).shape[0] - categories
    if extra not in EXTRA_CHANNELS:
        raise UserError(
            f"a classifier of {categories} categories and {extra} more channels is unknown"
        )
    return EXTRA_CHANNELS[extra]


def _deformable(weights: Weights) -> dict[str, Any]:
    offsets = {name: w for name, w in weights.items() if name.endswith("conv2.offset.weight")}
    if not offsets:
        return {}
    channels = next(iter(offsets.values())).shape[0]
    if channels not in (18, 27):
        raise UserError(f"deformable convolutions with {channels // 18} groups of offsets, not one")
    stages = sorted({int(name.removeprefix(LAYERS)[0]) + 1 for name in offsets})
    return {"deform": "v1" if channels == 18 else "v2", "deform_stages": stages}


def _need(weights: Weights, name: str) -> Tensor:
    if name not in weights:
        raise UserError(f"the checkpoint has nothing for '{name}': no Mask R-CNN with a pyramid")
    return weights[name]
