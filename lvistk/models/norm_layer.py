"""Normalisation layers by the name that settings give them."""

import math
from collections.abc import Callable
from typing import Literal

from torch import nn

from lvistk.models.frozen_norm import FrozenBatchNorm2d

Norm = Literal["frozen_bn", "bn", "sync_bn", "gn"]


def norm_layer(name: Norm) -> Callable[[int], nn.Module]:
    """Makes the layer of so many channels."""
    match name:
        case "frozen_bn":
            return FrozenBatchNorm2d
        case "bn":
            return nn.BatchNorm2d
        case "sync_bn":
            return nn.SyncBatchNorm
        case "gn":
            return group_norm


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or as many as divide narrow layers."""
    return nn.GroupNorm(math.gcd(32, channels), channels)
