"""From another toolbox's checkpoint to fine-tuning and to detections, command by command."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN as TheirMaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.data.store.detection_store import DetectionStore
from lvistk.models.build import build_model
from lvistk.models.tensor_file import read_tensors
from tests.command_line import Commands, assign, finetune, tta_infer
from tests.data.small_data import small_index

CATEGORIES = 9
SMALL = {
    "backbone": {"name": "resnet18"},
    "fpn": {"channels": 16},
    "box": {"fc_channels": 16},
    "mask": {"channels": 16},
    "classifier": {"kind": "softmax"},
}
DETECTRON2 = (
    (r"backbone\.body\.conv1", "backbone.bottom_up.stem.conv1"),
    (r"backbone\.body\.bn1", "backbone.bottom_up.stem.conv1.norm"),
    (r"backbone\.body\.layer(\d)", lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}"),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0", ".shortcut"),
    (r"\.downsample\.1", ".shortcut.norm"),
    (r"neck\.inner_blocks\.(\d)\.0", lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}"),
    (r"neck\.layer_blocks\.(\d)\.0", lambda m: f"backbone.fpn_output{int(m[1]) + 2}"),
    (r"rpn\.objectness", "proposal_generator.rpn_head.objectness_logits"),
    (r"rpn\.deltas", "proposal_generator.rpn_head.anchor_deltas"),
    (r"rpn\.conv", "proposal_generator.rpn_head.conv"),
    (r"box_heads\.0\.fc\.(\d)", lambda m: f"box_head.fc{int(m[1]) + 1}"),
    (r"box_heads\.0\.classifier\.linear", "box_predictor.cls_score"),
    (r"box_heads\.0\.regression", "box_predictor.bbox_pred"),
    (r"mask\.stages\.0\.head\.convs\.(\d)", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}"),
    (r"mask\.stages\.0\.head\.", "mask_head."),
)
MMDETECTION = (
    (r"backbone\.body\.", "backbone."),
    (r"neck\.inner_blocks\.(\d)\.0", r"neck.lateral_convs.\1.conv"),
    (r"neck\.layer_blocks\.(\d)\.0", r"neck.fpn_convs.\1.conv"),
    (r"rpn\.objectness", "rpn_head.rpn_cls"),
    (r"rpn\.deltas", "rpn_head.rpn_reg"),
    (r"rpn\.conv", "rpn_head.rpn_conv"),
    (r"roi_heads\.box_heads\.0\.fc", "roi_head.bbox_head.shared_fcs"),
    (r"roi_heads\.box_heads\.0\.classifier\.linear", "roi_head.bbox_head.fc_cls"),
    (r"roi_heads\.box_heads\.0\.regression", "roi_head.bbox_head.fc_reg"),
    (r"roi_heads\.mask\.stages\.0\.head\.convs\.(\d)", r"roi_head.mask_head.convs.\1.conv"),
    (r"roi_heads\.mask\.stages\.0\.head\.deconv", "roi_head.mask_head.upsample"),
    (r"roi_heads\.mask\.stages\.0\.head\.predictor", "roi_head.mask_head.conv_logits"),
)


def renamed(root: Path, rules: tuple) -> dict[str, Tensor]:
    """Drawn weights of a ResNet-18 detector, under another toolbox's names."""
    torch.manual_seed(0)
    categories = small_index(root / "categories", count=1).categories
    weights = build_model(update(ModelSettings(), SMALL, where="test"), categories).state_dict()
    del weights["roi_heads.mask.area_ratio_prior"]
    result = {}
    for name, value in weights.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def of_detectron2(root: Path) -> Path:
    weights = {name: value.numpy() for name, value in renamed(root, DETECTRON2).items()}
    path = root / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "a test"}))
    return path


def of_mmdetection(root: Path) -> Path:
    path = root / "epoch_12.pth"
    torch.save({"meta": {}, "state_dict": renamed(root, MMDETECTION)}, path)
    return path


def of_torchvision(root: Path) -> Path:
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=FrozenBatchNorm2d
    )
    path = root / "maskrcnn.pth"
    torch.save(TheirMaskRCNN(backbone, num_classes=CATEGORIES + 1).state_dict(), path)
    return path


@pytest.mark.parametrize("checkpoint", [of_detectron2, of_mmdetection, of_torchvision])
def test_a_checkpoint_is_fine_tuned_and_detects(
    checkpoint: Callable[[Path], Path],
    tmp_path: Path,
    lvistk: Commands,
) -> None:
    small_index(tmp_path, count=4)
    imported = tmp_path / "imported"
    given = ["--categories", tmp_path / "train.json", "--out", imported]
    # pytorch: drawn batch norm statistics look like the folded ones of Caffe's networks
    done = lvistk("import-weights", checkpoint(tmp_path), *given, "--style", "pytorch")
    assert done.code == 0, done.err

    out = tmp_path / "detected"
    done = lvistk(*tta_infer(tmp_path, out), "--model", imported)
    assert done.code == 0, done.err
    assert sum(len(image.boxes) for image in DetectionStore.open(out / "detections")) > 0
    assert json.loads((out / "results_segm.json").read_text())

    tuned = tmp_path / "tuned"
    few = assign("loop.max_steps=1", "optim.lr=0.0001")
    done = lvistk(*finetune(tmp_path, tuned), *few, "--model", imported)
    assert done.code == 0, done.err
    before, after = (read_tensors(folder / "model.safetensors") for folder in (imported, tuned))
    frozen = [name for name in before if name.startswith(("backbone.", "neck.", "rpn."))]
    assert len(frozen) > 100
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    trained = "roi_heads.box_heads.0.fc.0.weight"
    assert before[trained].shape == after[trained].shape
    assert not torch.equal(before[trained], after[trained])

    done = lvistk(*tta_infer(tmp_path, tmp_path / "tuned_detected"), "--model", tuned)
    assert done.code == 0, done.err
