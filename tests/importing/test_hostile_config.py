"""Configuration text that is odd or hostile: left out, or one line; never run, never a traceback."""

import warnings
from typing import Any

import pytest

from lvistk.errors import UserError
from lvistk.importing.mmdet_config import config_settings, input_style, read_config

DEEP = 100_000


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * DEEP + "]" * DEEP,
        "a = " + "-" * DEEP + "1",
        "a = " + "+".join(["1"] * DEEP),
        "a = " + "9" * DEEP,
        "a = " + "not " * DEEP + "1",
        "a = " + "f(" * 90 + ")" * 90,
        "a = x" + ".y" * DEEP,
        "\0",
        "a = '\ud800'",
        "a = 1\n" * 400_000,
        "a = '\\d' is 3",
    ],
    ids=range(11),
)
def test_text_that_cannot_be_read_says_nothing(text: str) -> None:
    with warnings.catch_warnings(action="error"):
        assert not read_config(text)


@pytest.mark.parametrize(
    "text",
    [
        "model = dict(data_preprocessor=dict(mean=3, std=[1, 2, 3]))",
        "model = dict(data_preprocessor=dict(mean=['a', 1, 2], std=[1, 2, 3]))",
        "model = dict(data_preprocessor=dict(mean=[1, 2], std=[1, 2, 3]))",
        "model = dict(data_preprocessor=dict(mean=[1e999, 1, 2], std=[1, 2, 3]))",
        "model = dict(data_preprocessor=dict(mean=[" + "9" * 400 + ", 1, 2], std=[1, 2, 3]))",
        "model = dict(roi_head=dict(bbox_head=dict(bbox_coder=dict(target_stds=[0, 0, 1, 1]))))",
        "model = dict(roi_head=dict(bbox_head=dict(bbox_coder=dict(target_stds='abcd'))))",
        "model = dict(roi_head=dict(bbox_head=dict(loss_bbox=dict(type='SmoothL1Loss', beta='x'))))",
        "model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(type='SeesawLoss', p=[1]))))",
        "model = dict(roi_head=dict(mask_head=dict(predictor_cfg=dict(type='NormedConv2d', power=()))))",
        "model = dict(roi_head=dict(stage_loss_weights=7, bbox_head=[dict(), dict()]))",
        "model = dict(test_cfg=dict(rcnn=dict(max_per_img=None, score_thr={})))",
    ],
)
def test_values_of_another_kind_are_named(text: str) -> None:
    config = read_config(text)
    input_style(config)
    with pytest.raises(UserError, match="its configuration's '") as told:
        config_settings(config)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "value", ["None", "3", "[]", "'x'", "b'x'", "...", "1j", "[[]]", "{1: 2}", "{**a}"]
)
@pytest.mark.parametrize(
    "form",
    [
        "model = {}",
        "model = dict(backbone={}, data_preprocessor={}, roi_head={}, rpn_head={}, test_cfg={})",
        "model = dict(roi_head=dict(bbox_head={}, mask_head={}), test_cfg=dict(rcnn={}, rpn={}))",
        "model = dict(roi_head=dict(bbox_head=[{}, {}], mask_head=[{}]))",
    ],
)
def test_tables_that_are_none_say_nothing(form: str, value: str) -> None:
    config: dict[str, Any] = read_config(form.replace("{}", value))
    input_style(config)
    config_settings(config)
