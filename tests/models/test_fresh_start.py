"""How a model starts that has no detector's weights."""

import pytest

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.models.backbone import build_backbone
from lvistk.models.fresh_start import fresh_start


def started(**backbone: object):
    return fresh_start(update(ModelSettings(), {"backbone": backbone}, where="test"))


def test_a_random_backbone_is_trained_as_a_whole() -> None:
    """By default no weights, a frozen stem and first stage, and frozen norms."""
    start = started()
    body = build_backbone(start.settings.backbone).train()
    assert all(parameter.requires_grad for parameter in body.parameters())
    assert "frozen_stages = 2 would freeze random weights" in start.warning
    assert "set norm=gn or bn" in start.warning
    assert start.told == "backbone resnet50: random, all of it trains"


def test_settings_that_fit_are_left_alone() -> None:
    for backbone in ({"norm": "gn", "frozen_stages": 0}, {"weights": "some.pth"}):
        start = started(**backbone)
        assert start.settings == update(ModelSettings(), {"backbone": backbone}, where="test")
        assert start.warning == ""
    assert start.told.endswith("the first 2 are frozen")


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("tf_efficientnetv2_s", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
        ("resnest50d", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ],
)
def test_timm_s_own_mean_and_deviation(name: str, mean, std) -> None:
    start = started(library="timm", name=name, weights="imagenet")
    assert start.settings.image_mean == pytest.approx(mean)
    assert start.settings.image_std == pytest.approx(std)


def test_a_mean_that_the_user_gives_stays() -> None:
    table = {
        "backbone": {"library": "timm", "name": "tf_efficientnetv2_s", "weights": "imagenet"},
        "image_mean": [1.0, 2.0, 3.0],
    }
    start = fresh_start(update(ModelSettings(), table, where="test"))
    assert start.settings.image_mean == (1.0, 2.0, 3.0)
