"""Parameters of the paper's models beside torchvision's modules and mmdetection's structure."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.models.build import build_model
from tests.models.build_small import HTC, merged, some_categories
from tests.reference.htc import parameters


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def ours(classes: int, *changes: dict) -> nn.Module:
    table = merged({"classifier": {"kind": "softmax"}}, *changes)
    with torch.device("meta"):
        return build_model(update(ModelSettings(), table, where="test"), some_categories(classes))


def theirs(classes: int, name: str) -> nn.Module:
    with torch.device("meta"):
        backbone = resnet_fpn_backbone(
            backbone_name=name, weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d
        )
        return torchvision.models.detection.MaskRCNN(backbone, num_classes=classes + 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet50", 50_387_202), ("resnet101", 69_327_106), ("resnext101_64x4d", 108_135_682)],
)
def test_mask_rcnn_with_1203_categories(name: str, expected: int) -> None:
    model = ours(1203, {"backbone": {"name": name}})
    background = 4 * (1024 + 1) + (256 + 1)  # torchvision regresses and masks background too
    assert count(model) == count(theirs(1203, name)) - background == expected


def test_htc_with_80_categories() -> None:
    model = ours(80, HTC)
    shared = theirs(80, "resnet50")
    table = parameters(
        channels=256, hidden=1024, classes=80, generator=torch.Generator().manual_seed(0)
    )
    heads = sum(value.numel() for value in table.values())
    assert count(model) == count(shared.backbone) + count(shared.rpn) + heads == 77_403_070
