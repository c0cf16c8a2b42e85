"""ResNet and ResNeXt under torchvision's parameter names, at any width, frugal with memory.

torchvision's own classes can be neither narrow nor spare the memory of frozen norms; equal outputs
at equal weights are tested.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.models.checkpointed import checkpointed
from lvistk.models.deform_conv import convolve
from lvistk.models.frozen_norm import FrozenBatchNorm2d

NormLayer = Callable[[int], nn.Module]


def conv_norm(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(conv(x))``; a frozen norm is folded into the weights, so that only ``x`` is kept for
    the gradient and no pass over the activations is spent on the norm."""
    if not isinstance(norm, FrozenBatchNorm2d):
        return norm(conv(x))
    scale, shift = norm.scale_and_shift()
    weight = conv.get_parameter("weight") * scale[:, None, None, None]
    return convolve(conv, x, weight=weight, bias=shift)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(
        self, channels: int, planes: int, *, stride: int, width: int, groups: int, norm: NormLayer
    ) -> None:
        super().__init__()
        if groups != 1 or width != planes:
            raise ValueError("a basic block has neither groups nor a width of its own")
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = norm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = norm(planes)
        self.downsample = _shortcut(channels, planes, stride=stride, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm(self.conv1, self.bn1, x).relu_()
        out = conv_norm(self.conv2, self.bn2, out)
        return _add(out, x, self.downsample)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(
        self,
        channels: int,
        planes: int,
        *,
        stride: int,
        width: int,
        groups: int,
        norm: NormLayer,
        stride_in_1x1: bool = False,
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, 1, first, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, groups=groups, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, 4 * planes, 1, bias=False)
        self.bn3 = norm(4 * planes)
        self.downsample = _shortcut(channels, 4 * planes, stride=stride, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm(self.conv1, self.bn1, x).relu_()
        out = conv_norm(self.conv2, self.bn2, out).relu_()
        out = conv_norm(self.conv3, self.bn3, out)
        return _add(out, x, self.downsample)


class Architecture(NamedTuple):
    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]
    groups: int = 1
    width_per_group: int = 64


ARCHITECTURES = {
    "resnet18": Architecture(BasicBlock, (2, 2, 2, 2)),
    "resnet34": Architecture(BasicBlock, (3, 4, 6, 3)),
    "resnet50": Architecture(Bottleneck, (3, 4, 6, 3)),
    "resnet101": Architecture(Bottleneck, (3, 4, 23, 3)),
    "resnet152": Architecture(Bottleneck, (3, 8, 36, 3)),
    "resnext50_32x4d": Architecture(Bottleneck, (3, 4, 6, 3), 32, 4),
    "resnext101_32x4d": Architecture(Bottleneck, (3, 4, 23, 3), 32, 4),  # not torchvision's
    "resnext101_32x8d": Architecture(Bottleneck, (3, 4, 23, 3), 32, 8),
    "resnext101_64x4d": Architecture(Bottleneck, (3, 4, 23, 3), 64, 4),
}


class ResNet(nn.Module):
    """Feature maps of stride 4, 8, 16 and 32; ``channels`` gives their widths."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        norm: NormLayer,
        width: float = 1.0,
        stride_in_1x1: bool = False,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        kind = architecture.block
        block = partial(Bottleneck, stride_in_1x1=True) if stride_in_1x1 else kind
        self.activation_checkpointing = activation_checkpointing
        stem = _scaled(64, width)
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = norm(stem)
        channels, outputs, layers = stem, [], []
        for number, depth in enumerate(architecture.depths):
            planes = _scaled(64 * 2**number, width)
            inner = planes * architecture.width_per_group // 64 * architecture.groups
            blocks = []
            for index in range(depth):
                stride = 2 if number > 0 and index == 0 else 1
                blocks.append(
                    block(
                        channels,
                        planes,
                        stride=stride,
                        width=inner,
                        groups=architecture.groups,
                        norm=norm,
                    )
                )
                channels = planes * kind.expansion
            layers.append(nn.Sequential(*blocks))
            outputs.append(channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.channels = tuple(outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: (B, 3, H, W) float. Returns four maps (B, channels[l], H / s, W / s)."""
        x = conv_norm(self.conv1, self.bn1, images).relu_()
        x = F.max_pool2d(x, 3, 2, 1)
        features = []
        for layer in self._layers():
            for block in layer:
                x = self._run(block, x)
            features.append(x)
        return features

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        return checkpointed(block, x) if self.activation_checkpointing else block(x)

    def stages(self) -> list[list[nn.Module]]:
        """Modules of the stem, then of res2 to res5: what ``frozen_stages`` counts."""
        return [[self.conv1, self.bn1], *([layer] for layer in self._layers())]

    def _layers(self) -> list[nn.Sequential]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]


def _scaled(channels: int, width: float) -> int:
    """Channels times width, in steps of 8."""
    return max(8, round(channels * width / 8) * 8)


def _shortcut(
    channels: int, out_channels: int, *, stride: int, norm: NormLayer
) -> nn.Sequential | None:
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 1, stride, bias=False), norm(out_channels)
    )


def _add(out: Tensor, x: Tensor, downsample: nn.Sequential | None) -> Tensor:
    shortcut = x if downsample is None else conv_norm(downsample[0], downsample[1], x)
    out += shortcut
    return out.relu_()
