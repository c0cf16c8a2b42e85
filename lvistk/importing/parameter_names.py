"""Our parameter names for other toolboxes', where the tensors are the same but for rows of categories.

Order of rows, and what else differs: detectron2 and mmdetection keep background last, as we do, and
mmdetection's box coder divides by standard deviations (the reciprocals of our weights). torchvision
puts background first, in classifier, box regression and mask predictor, and pools without the
half-pixel shift, two samples per bin, from rounded anchors.
"""

import re
from collections.abc import Sequence

from torch import Tensor

Rules = Sequence[tuple[str, str]]

_FIELD = r"(weight|bias|running_mean|running_var)"

DETECTRON2: Rules = (
    (rf"backbone\.bottom_up\.stem\.conv1\.norm\.{_FIELD}", r"backbone.body.bn1.\1"),
    (r"backbone\.bottom_up\.stem\.conv1\.weight", r"backbone.body.conv1.weight"),
    (
        rf"backbone\.bottom_up\.res([2-5])\.(\d+)\.conv(\d)\.norm\.{_FIELD}",
        r"backbone.body.layer{-1:\1}.\2.bn\3.\4",
    ),
    (
        r"backbone\.bottom_up\.res([2-5])\.(\d+)\.conv2_offset\.(weight|bias)",
        r"backbone.body.layer{-1:\1}.\2.conv2.offset.\3",
    ),
    (
        r"backbone\.bottom_up\.res([2-5])\.(\d+)\.conv(\d)\.weight",
        r"backbone.body.layer{-1:\1}.\2.conv\3.weight",
    ),
    (
        rf"backbone\.bottom_up\.res([2-5])\.(\d+)\.shortcut\.norm\.{_FIELD}",
        r"backbone.body.layer{-1:\1}.\2.downsample.1.\3",
    ),
    (
        r"backbone\.bottom_up\.res([2-5])\.(\d+)\.shortcut\.weight",
        r"backbone.body.layer{-1:\1}.\2.downsample.0.weight",
    ),
    (r"backbone\.fpn_lateral([2-5])\.(weight|bias)", r"neck.inner_blocks.{-2:\1}.0.\2"),
    (r"backbone\.fpn_output([2-5])\.(weight|bias)", r"neck.layer_blocks.{-2:\1}.0.\2"),
    (r"proposal_generator\.rpn_head\.conv\.(weight|bias)", r"rpn.conv.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(weight|bias)", r"rpn.objectness.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(weight|bias)", r"rpn.deltas.\1"),
    (
        r"roi_heads\.box_head\.(?:(\d)\.)?fc(\d)\.(weight|bias)",
        r"roi_heads.box_heads.{0:\1}.fc.{-1:\2}.\3",
    ),
    (
        r"roi_heads\.box_predictor\.(?:(\d)\.)?cls_score\.(weight|bias)",
        r"roi_heads.box_heads.{0:\1}.classifier.linear.\2",
    ),
    (
        r"roi_heads\.box_predictor\.(?:(\d)\.)?bbox_pred\.(weight|bias)",
        r"roi_heads.box_heads.{0:\1}.regression.\2",
    ),
    (
        r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)",
        r"roi_heads.mask.stages.0.head.convs.{-1:\1}.\2",
    ),
    (
        r"roi_heads\.mask_head\.(deconv|predictor)\.(weight|bias)",
        r"roi_heads.mask.stages.0.head.\1.\2",
    ),
)

MMDETECTION: Rules = (
    (
        r"backbone\.(layer[1-4]\.\d+\.conv2)\.conv_offset\.(weight|bias)",
        r"backbone.body.\1.offset.\2",
    ),
    (rf"backbone\.((?:conv1|bn1|layer[1-4]\.\d+)\..*{_FIELD})", r"backbone.body.\1"),
    (rf"backbone\.((?:conv1|bn1)\.{_FIELD})", r"backbone.body.\1"),
    (r"neck\.lateral_convs\.(\d)\.conv\.(weight|bias)", r"neck.inner_blocks.\1.0.\2"),
    (r"neck\.fpn_convs\.([0-3])\.conv\.(weight|bias)", r"neck.layer_blocks.\1.0.\2"),
    (r"rpn_head\.rpn_conv\.(weight|bias)", r"rpn.conv.\1"),
    (r"rpn_head\.rpn_cls\.(weight|bias)", r"rpn.objectness.\1"),
    (r"rpn_head\.rpn_reg\.(weight|bias)", r"rpn.deltas.\1"),
    (
        r"roi_head\.bbox_head\.(?:(\d)\.)?shared_fcs\.(\d)\.(weight|bias)",
        r"roi_heads.box_heads.{0:\1}.fc.\2.\3",
    ),
    (
        r"roi_head\.bbox_head\.(?:(\d)\.)?fc_cls\.(weight|bias)",
        r"roi_heads.box_heads.{0:\1}.classifier.linear.\2",
    ),
    (
        r"roi_head\.bbox_head\.(?:(\d)\.)?fc_reg\.(weight|bias)",
        r"roi_heads.box_heads.{0:\1}.regression.\2",
    ),
    (
        r"roi_head\.bbox_head\.(?:(\d)\.)?loss_cls\.cum_samples",
        r"roi_heads.box_heads.{0:\1}.classifier.counts.counts",
    ),
    (
        r"roi_head\.mask_head\.(?:(\d)\.)?convs\.(\d)\.conv\.(weight|bias)",
        r"roi_heads.mask.stages.{0:\1}.head.convs.\2.\3",
    ),
    (
        r"roi_head\.mask_head\.(?:(\d)\.)?conv_res\.conv\.(weight|bias)",
        r"roi_heads.mask.stages.{0:\1}.head.flow.\2",
    ),
    (
        r"roi_head\.mask_head\.(?:(\d)\.)?upsample\.(weight|bias)",
        r"roi_heads.mask.stages.{0:\1}.head.deconv.\2",
    ),
    (
        r"roi_head\.mask_head\.(?:(\d)\.)?conv_logits\.(weight|bias)",
        r"roi_heads.mask.stages.{0:\1}.head.predictor.\2",
    ),
)

TORCHVISION: Rules = (
    (rf"backbone\.(body\..*{_FIELD})", r"backbone.\1"),
    (
        r"backbone\.fpn\.(inner|layer)_blocks\.(\d)(?:\.0)?\.(weight|bias)",
        r"neck.\1_blocks.\2.0.\3",
    ),
    (r"rpn\.head\.conv(?:\.0\.0)?\.(weight|bias)", r"rpn.conv.\1"),
    (r"rpn\.head\.cls_logits\.(weight|bias)", r"rpn.objectness.\1"),
    (r"rpn\.head\.bbox_pred\.(weight|bias)", r"rpn.deltas.\1"),
    (r"roi_heads\.box_head\.fc(\d)\.(weight|bias)", r"roi_heads.box_heads.0.fc.{-6:\1}.\2"),
    (
        r"roi_heads\.box_predictor\.cls_score\.(weight|bias)",
        r"roi_heads.box_heads.0.classifier.linear.\1",
    ),
    (
        r"roi_heads\.box_predictor\.bbox_pred\.(weight|bias)",
        r"roi_heads.box_heads.0.regression.\1",
    ),
    (
        r"roi_heads\.mask_head\.(\d)\.0\.(weight|bias)",
        r"roi_heads.mask.stages.0.head.convs.\1.\2",
    ),
    (
        r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)",
        r"roi_heads.mask.stages.0.head.convs.{-1:\1}.\2",
    ),
    (
        r"roi_heads\.mask_predictor\.conv5_mask\.(weight|bias)",
        r"roi_heads.mask.stages.0.head.deconv.\1",
    ),
    (
        r"roi_heads\.mask_predictor\.mask_fcn_logits\.(weight|bias)",
        r"roi_heads.mask.stages.0.head.predictor.\1",
    ),
)


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


def translate(name: str, rules: Rules) -> str | None:
    """Our name for ``name``, or none where no rule knows it.

    In a rule's result ``{-1:\\1}`` is the first group plus -1; an absent group counts as 0.
    """
    for pattern, result in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return _filled(result, match)
    return None


def _filled(result: str, match: re.Match[str]) -> str:
    def shifted(group: re.Match[str]) -> str:
        return str(int(group[1]) + int(match[int(group[2])] or 0))

    result = re.sub(r"\{(-?\d+):\\(\d)\}", shifted, result)
    return re.sub(r"\\(\d)", lambda group: match[int(group[1])] or "", result)
