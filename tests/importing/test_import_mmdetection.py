"""mmdetection's checkpoints through ``import-weights``: every tensor, settings, hostile company."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lvistk.errors import UserError
from lvistk.importing.inferred_settings import architecture, shape_settings
from lvistk.importing.mmdet_config import config_settings, input_style, read_config
from lvistk.importing.translation import translated
from lvistk.models.mask_rcnn import MaskRCNN
from tests.importing.mmdet_names import Shapes, detector
from tests.importing.test_import_torchvision import entries, run_import

CONFIG = """
dataset_type = 'LVISV1Dataset'
stds = [0.2, 0.2, 0.4, 0.4]
model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(
        mean=[100.0, 110.0, 120.0], std=[1.0, 2.0, 3.0], bgr_to_rgb=False, pad_size_divisor=32),
    backbone=dict(type='ResNet', style='pytorch', norm_cfg=dict(type='BN', requires_grad=True)),
    roi_head=dict(
        bbox_head=dict(
            bbox_coder=dict(target_stds=stds),
            cls_predictor_cfg=dict(type='NormedLinear', tempearture=30),
            loss_cls=dict(type='SeesawLoss', p=0.7, q=2.5),
            loss_bbox=dict(type='SmoothL1Loss', beta=0.5)),
        mask_head=dict(predictor_cfg=dict(type='NormedConv2d', tempearture=20))),
    test_cfg=dict(
        rpn=dict(nms_pre=900, max_per_img=800, nms=dict(type='nms', iou_threshold=0.6)),
        rcnn=dict(score_thr=-0.0 , nms=dict(type='nms', iou_threshold=0.4), max_per_img=200)))
launcher = __import__('os').system('touch mark')
"""


class HistoryBuffer:
    """Unknown to torch's safe loading, as mmengine's class of that name is to a machine without it."""

    values = ()


def tensors(shapes: Shapes) -> dict[str, Tensor]:
    """One number a name, spread over its shape: equal files are small, unequal names differ."""
    return {
        name: torch.tensor(float(place % 97 + 1)).expand(shape)
        for place, (name, shape) in enumerate(shapes.items())
    }


def checkpoint(path: Path, shapes: Shapes, *, config: str = "") -> Path:
    meta = {"CLASSES": ("a",), "hook": HistoryBuffer()} | ({"cfg": config} if config else {})
    content = {"meta": meta, "state_dict": tensors(shapes), "message_hub": HistoryBuffer()}
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def categories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lvis") / "categories.json"
    path.write_text(json.dumps([{"id": n, "name": f"c{n}"} for n in range(1, 1204)]))
    return path


def check(folder: Path, model: MaskRCNN, shapes: Shapes) -> dict[str, str]:
    """Every name is in the table once, and what was copied is where the table says."""
    table = entries(folder)
    assert sorted(row["source"] for row in table if row["source"]) == sorted(shapes)
    own, given = model.state_dict(), tensors(shapes)
    assert {row["target"] for row in table} - {""} == set(own)
    for row in table:
        if row["action"] == "copied":
            assert own[row["target"]].shape == given[row["source"]].shape
            assert (own[row["target"]] == given[row["source"]].flatten()[0]).all()
        elif row["action"].startswith("dropped"):
            assert row["source"].endswith("num_batches_tracked")
    return {row["source"]: row["action"] for row in table}


def test_lvis_mask_rcnn_without_configuration(tmp_path: Path, categories: Path) -> None:
    shapes = detector()
    path = checkpoint(tmp_path / "lvis.pth", shapes)
    model = run_import(tmp_path / "out", checkpoint=path, categories=categories)
    actions = check(tmp_path / "out", model, shapes)
    assert actions["roi_head.bbox_head.fc_cls.weight"] == "copied"
    settings = model.settings
    assert settings.backbone.name == "resnet50" and settings.classifier.kind == "softmax"
    assert settings.detection.max_detections == 300 and not settings.box.class_agnostic
    assert settings.cascade.box_weights == ((10, 10, 5, 5),)


def test_seesaw_with_its_configuration(
    tmp_path: Path, categories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shapes = detector(seesaw=True)
    path = checkpoint(tmp_path / "seesaw.pth", shapes, config=CONFIG)
    model = run_import(tmp_path / "out", checkpoint=path, categories=categories)
    actions = check(tmp_path / "out", model, shapes)
    assert not (tmp_path / "mark").exists()
    assert actions["backbone.conv1.weight"] == "input channels turned from BGR to RGB"
    assert actions["roi_head.bbox_head.loss_cls.cum_samples"] == "background's count left out"
    settings = model.settings
    assert settings.image_mean == (120, 110, 100) and settings.image_std == (3, 2, 1)
    assert settings.classifier.kind == "seesaw"
    assert settings.classifier.normed_temperature == 30 and settings.mask.normed_temperature == 20
    assert settings.classifier.seesaw.p == 0.7 and settings.classifier.seesaw.q == 2.5
    assert settings.cascade.box_weights == ((5, 5, 2.5, 2.5),)
    assert settings.box.smooth_l1_beta == 0.5
    assert settings.rpn.post_nms_test == 800 and settings.rpn.nms_iou == 0.6
    assert settings.detection.max_detections == 200 and settings.detection.nms_iou == 0.4


def test_htc_of_coco(tmp_path: Path) -> None:
    shapes = detector(classes=80, stages=3, mask_stages=3, htc=True, deform_channels=18)
    path = checkpoint(tmp_path / "htc.pth", shapes)
    model = run_import(tmp_path / "out", checkpoint=path)
    check(tmp_path / "out", model, shapes)
    cascade = model.settings.cascade
    assert cascade.mask_flow and cascade.interleaved and cascade.mask_every_stage
    assert cascade.ious == (0.5, 0.6, 0.7) and cascade.loss_weights == (1, 0.5, 0.25)
    assert cascade.box_weights[2] == pytest.approx((1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067))
    assert model.settings.box.class_agnostic and not model.settings.mask.class_agnostic
    assert model.settings.backbone.deform == "v1" and cascade.average == "logits"
    assert len(model.categories) == 80 and model.categories.ids[-1] == 90


def found(shapes: Shapes) -> dict[str, Any]:
    imported = translated(
        tensors(shapes), toolbox="mmdetection", style=None, norm_eps=None, drop=()
    )
    return shape_settings(imported.weights(), num_categories=None)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"depth": 101}, "resnet101"),
        ({"depth": 101, "groups": 32}, "resnext101_32x4d"),
        ({"depth": 101, "groups": 64}, "resnext101_64x4d"),
        ({"depth": 50, "groups": 32}, "resnext50_32x4d"),
    ],
)
def test_backbones_are_told_by_their_shapes(options: dict[str, int], name: str) -> None:
    assert found(detector(**options))["backbone"] == {"name": name}


def test_cascade_seesaw_with_masks_a_stage() -> None:
    settings = found(detector(depth=101, stages=3, mask_stages=3, seesaw=True))
    assert settings["classifier"] == {"kind": "seesaw"}
    assert settings["cascade"]["mask_every_stage"] and not settings["cascade"]["mask_flow"]


def test_modulated_convolutions_are_halved() -> None:
    given = tensors(detector(deform_channels=27))
    imported = translated(given, toolbox="mmdetection", style=None, norm_eps=None, drop=())
    name = "layer2.0.conv2.weight"
    value = imported.parts[f"backbone.body.{name}"].value
    torch.testing.assert_close(value, given[f"backbone.{name}"] / 2)
    assert found(detector(deform_channels=27))["backbone"]["deform_stages"] == [3, 4, 5]


def test_folded_statistics_tell_caffe_networks() -> None:
    given = tensors(detector())
    for name in given:
        if name.endswith("running_mean"):
            given[name] = torch.zeros(given[name].shape)
    imported = translated(given, toolbox="mmdetection", style=None, norm_eps=None, drop=())
    assert imported.style == "caffe"


def test_a_semantic_branch_is_refused_unless_given_up() -> None:
    shapes = detector(stages=3, mask_stages=3, htc=True)
    shapes |= {"roi_head.semantic_head.conv_logits.weight": (183, 256, 1, 1)}
    with pytest.raises(UserError, match=r"semantic branch.*--drop roi_head\.semantic_head"):
        translated(tensors(shapes), toolbox="mmdetection", style=None, norm_eps=None, drop=())
    imported = translated(
        tensors(shapes),
        toolbox="mmdetection",
        style=None,
        norm_eps=None,
        drop=("roi_head.semantic_head",),
    )
    assert "dropped: asked for by drop" in {entry.action for entry in imported.dropped}


def test_the_second_set_of_weights_of_an_ema_hook_is_left_out() -> None:
    """mmcv's hook names its buffers after parameters, points as underscores, and swaps before it saves."""
    shapes = detector()
    shapes |= {f"ema_{name.replace('.', '_')}": shape for name, shape in detector().items()}
    given = tensors(shapes)
    imported = translated(given, toolbox="mmdetection", style=None, norm_eps=None, drop=())
    left_out = [entry for entry in imported.dropped if entry.source.startswith("ema_")]
    assert len(left_out) == len(detector()) and "EMA hook" in left_out[0].action
    assert not any(part.source.startswith("ema_") for part in imported.parts.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rpn_head.rpn_cls.bias", r"lacks 1 of .* 'rpn\.objectness\.bias'"),
        ("+extra.weight", r"1 of .* fit nowhere.*extra\.weight.*--drop"),
    ],
)
def test_missing_and_unknown_tensors_are_errors(
    tmp_path: Path, categories: Path, change: str, message: str
) -> None:
    shapes = detector()
    if change.startswith("+"):
        shapes[change[1:]] = (1,)
    else:
        del shapes[change]
    path = checkpoint(tmp_path / "odd.pth", shapes)
    with pytest.raises(UserError, match=rf"odd\.pth: .*{message}"):
        run_import(tmp_path / "out", checkpoint=path, categories=categories)


def test_a_configuration_that_says_little() -> None:
    assert read_config("model = dict(") == {}
    assert read_config("a = f(1)\nb = [1, -2.5, g()]\nc = {'x': True, 1: 2}") == {
        "b": [1, -2.5],
        "c": {"x": True},
    }
    assert input_style({}) is None and config_settings({})["rpn"] == {}
    old = read_config("img_norm_cfg = dict(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0], to_rgb=True)")
    assert input_style(old) == "pytorch"
    assert config_settings(old)["image_mean"] == [1, 2, 3]


def test_other_backbones_are_named() -> None:
    weights = {
        "backbone.body.layer1.0.conv2.weight": torch.zeros(48, 48, 3, 3),
        "backbone.body.layer1.0.conv3.weight": torch.zeros(192, 48, 1, 1),
    }
    with pytest.raises(UserError, match="48 wide on 48 channels is none of resnet18"):
        architecture(weights)
