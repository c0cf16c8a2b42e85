"""Settings of a model that starts without a detector's weights, as its backbone's weights want them."""

import dataclasses
from typing import NamedTuple

from lvistk.config.model import ModelSettings
from lvistk.models import timm_backbone


class FreshStart(NamedTuple):
    """How a training starts.

    settings: the model's, changed where they would not fit its start.
    told: what is trained, for the user.
    warning: what was changed or should be, or empty.
    """

    settings: ModelSettings
    told: str
    warning: str


def fresh_start(settings: ModelSettings) -> FreshStart:
    """Unfreeze a random backbone, and take the pixel mean and deviation of timm's own weights.

    A random part that is frozen would never learn anything. timm's networks were not all trained with
    ImageNet's mean and deviation; others than these defaults, which a user has chosen, stay.
    """
    backbone = settings.backbone
    if not backbone.weights:
        warning = ""
        if backbone.frozen_stages:
            warning = (
                f"model.backbone.weights is empty, so frozen_stages = {backbone.frozen_stages} would "
                "freeze random weights: all stages are trained instead; give weights=imagenet or a file"
            )
        if backbone.norm == "frozen_bn":
            warning += "; " if warning else "model.backbone.weights is empty, and "
            warning += "norm = frozen_bn normalises nothing before it is trained: set norm=gn or bn"
        settings = dataclasses.replace(
            settings, backbone=dataclasses.replace(backbone, frozen_stages=0)
        )
        return FreshStart(settings, f"backbone {backbone.name}: random, all of it trains", warning)
    told = f"backbone {backbone.name}: weights {backbone.weights}, " + _trained(
        backbone.frozen_stages
    )
    default = ModelSettings()
    unchanged = (settings.image_mean, settings.image_std) == (default.image_mean, default.image_std)
    if backbone.library == "timm" and backbone.weights == "imagenet" and unchanged:
        mean, std = timm_backbone.pretrained_pixels(backbone.name)
        settings = dataclasses.replace(settings, image_mean=mean, image_std=std)
    return FreshStart(settings, told, "")


def _trained(frozen_stages: int) -> str:
    if not frozen_stages:
        return "all of it trains"
    return f"of its 5 parts (stem, then four stages) the first {frozen_stages} are frozen"
