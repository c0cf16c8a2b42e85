"""Our parameter names for other toolboxes', where the tensors are the same but for rows of categories.

Order of rows, and what else differs: detectron2 and mmdetection keep background last, as we do, and
mmdetection's box coder divides by standard deviations (the reciprocals of our weights). torchvision
puts background first, in classifier, box regression and mask predictor, and pools without the
half-pixel shift, two samples per bin, from rounded anchors.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from torch import Tensor

Toolbox = Literal["detectron2", "mmdetection", "torchvision"]


class Module(NamedTuple):
    """A module's name here and in each toolbox, empty where it is unknown; ``|`` is between alternatives.

    ``{layer}`` stands for a number, ``{layer+1}`` for one more, ``{stage?}`` for a number and a dot, or
    for nothing, which is stage 0. ``{block}`` and ``{body}``: see ``WILD``.
    """

    ours: str
    detectron2: str = ""
    mmdetection: str = ""
    torchvision: str = ""


WILD = {"block": r"layer[1-4]\.\d+", "body": r"(?:conv1|bn1|layer[1-4]\.\d+\..+)"}
"""A block of a ResNet, and anything in its body, in torchvision's names."""
LEAF = r"(?P<leaf>weight|bias|running_mean|running_var)"

MODULES = (
    Module("backbone.body.conv1", "backbone.bottom_up.stem.conv1"),
    Module("backbone.body.bn1", "backbone.bottom_up.stem.conv1.norm"),
    Module(
        "backbone.body.layer{layer}.{unit}.conv{conv}",
        "backbone.bottom_up.res{layer+1}.{unit}.conv{conv}",
    ),
    Module(
        "backbone.body.layer{layer}.{unit}.bn{conv}",
        "backbone.bottom_up.res{layer+1}.{unit}.conv{conv}.norm",
    ),
    Module(
        "backbone.body.layer{layer}.{unit}.conv2.offset",
        "backbone.bottom_up.res{layer+1}.{unit}.conv2_offset",
    ),
    Module(
        "backbone.body.layer{layer}.{unit}.downsample.0",
        "backbone.bottom_up.res{layer+1}.{unit}.shortcut",
    ),
    Module(
        "backbone.body.layer{layer}.{unit}.downsample.1",
        "backbone.bottom_up.res{layer+1}.{unit}.shortcut.norm",
    ),
    Module("backbone.body.{block}.conv2.offset", mmdetection="backbone.{block}.conv2.conv_offset"),
    Module("backbone.body.{body}", "", "backbone.{body}", "backbone.body.{body}"),
    Module(
        "neck.inner_blocks.{level}.0",
        "backbone.fpn_lateral{level+2}",
        "neck.lateral_convs.{level}.conv",
        "backbone.fpn.inner_blocks.{level}|backbone.fpn.inner_blocks.{level}.0",
    ),
    Module(
        "neck.layer_blocks.{level}.0",
        "backbone.fpn_output{level+2}",
        "neck.fpn_convs.{level}.conv",
        "backbone.fpn.layer_blocks.{level}|backbone.fpn.layer_blocks.{level}.0",
    ),
    Module(
        "rpn.conv",
        "proposal_generator.rpn_head.conv",
        "rpn_head.rpn_conv",
        "rpn.head.conv|rpn.head.conv.0.0",
    ),
    Module(
        "rpn.objectness",
        "proposal_generator.rpn_head.objectness_logits",
        "rpn_head.rpn_cls",
        "rpn.head.cls_logits",
    ),
    Module(
        "rpn.deltas",
        "proposal_generator.rpn_head.anchor_deltas",
        "rpn_head.rpn_reg",
        "rpn.head.bbox_pred",
    ),
    Module(
        "roi_heads.box_heads.{stage}.fc.{layer}",
        "roi_heads.box_head.{stage?}fc{layer+1}",
        "roi_head.bbox_head.{stage?}shared_fcs.{layer}",
        "roi_heads.box_head.fc{layer+6}",
    ),
    Module(
        "roi_heads.box_heads.{stage}.classifier.linear",
        "roi_heads.box_predictor.{stage?}cls_score",
        "roi_head.bbox_head.{stage?}fc_cls",
        "roi_heads.box_predictor.cls_score",
    ),
    Module(
        "roi_heads.box_heads.{stage}.regression",
        "roi_heads.box_predictor.{stage?}bbox_pred",
        "roi_head.bbox_head.{stage?}fc_reg",
        "roi_heads.box_predictor.bbox_pred",
    ),
    Module(
        "roi_heads.mask.stages.{stage}.head.convs.{layer}",
        "roi_heads.mask_head.mask_fcn{layer+1}",
        "roi_head.mask_head.{stage?}convs.{layer}.conv",
        "roi_heads.mask_head.mask_fcn{layer+1}|roi_heads.mask_head.{layer}.0",
    ),
    Module(
        "roi_heads.mask.stages.{stage}.head.flow",
        mmdetection="roi_head.mask_head.{stage?}conv_res.conv",
    ),
    Module(
        "roi_heads.mask.stages.{stage}.head.deconv",
        "roi_heads.mask_head.deconv",
        "roi_head.mask_head.{stage?}upsample",
        "roi_heads.mask_predictor.conv5_mask",
    ),
    Module(
        "roi_heads.mask.stages.{stage}.head.predictor",
        "roi_heads.mask_head.predictor",
        "roi_head.mask_head.{stage?}conv_logits",
        "roi_heads.mask_predictor.mask_fcn_logits",
    ),
)
SAMPLE_COUNTS = (
    r"roi_head\.bbox_head\.(?:(?P<stage>\d)\.)?loss_cls\.cum_samples",
    "roi_heads.box_heads.{stage}.classifier.counts.counts",
)
"""A buffer of mmdetection's Seesaw loss, and ours."""


def rows_from_torchvision(name: str, value: Tensor) -> Tensor:
    """A tensor of torchvision's ``name`` with background moved last in the classifier, and its rows
    taken out of box regression and mask predictor."""
    if ".box_predictor.cls_score." in name:
        return value.roll(-1, dims=0)
    if ".box_predictor.bbox_pred." in name:
        return value[4:]
    if ".mask_predictor.mask_fcn_logits." in name:
        return value[1:]
    return value


def translate(name: str, toolbox: Toolbox) -> str | None:
    """Our name of the toolbox's tensor ``name``, or None for one that we don't know."""
    for pattern, ours in _patterns(toolbox):
        if match := re.fullmatch(pattern, name):
            return _filled(ours, match)
    return None


@lru_cache
def _patterns(toolbox: Toolbox) -> tuple[tuple[str, str], ...]:
    """A regular expression of the toolbox's names, and the template of ours, for each module."""
    pairs = [
        (rf"{_pattern(theirs)}\.{LEAF}", f"{module.ours}.{{leaf}}")
        for module in MODULES
        for theirs in getattr(module, toolbox).split("|")
        if theirs
    ]
    return (*pairs, SAMPLE_COUNTS) if toolbox == "mmdetection" else tuple(pairs)


def _pattern(theirs: str) -> str:
    """Groups are named for their placeholders; that of ``{layer+2}`` is ``layer_2``."""
    parts = re.split(r"(\{.*?\})", theirs)
    return "".join(_group(part) if part.startswith("{") else re.escape(part) for part in parts)


def _group(placeholder: str) -> str:
    name = placeholder.strip("{}")
    if name.endswith("?"):
        return rf"(?:(?P<{name[:-1]}>\d)\.)?"
    return rf"(?P<{name.replace('+', '_')}>{WILD.get(name, r'[0-9]{1,3}')})"


def _filled(ours: str, match: re.Match[str]) -> str:
    values = {"stage": "0"}
    for group, text in match.groupdict().items():
        name, _, more = group.partition("_")
        if text is not None:
            values[name] = str(int(text) - int(more)) if more else text
    return ours.format(**values)
