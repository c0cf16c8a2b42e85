"""Convolutions of RoI heads, with the weights they start from."""

from torch import nn


def relu_conv(
    in_channels: int, out_channels: int, *, kernel_size: int = 3, stride: int = 1
) -> nn.Conv2d:
    """A padded convolution that keeps the variance of its gradient through a ReLU (He et al., ICCV 2015)."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def identity_conv(channels: int) -> nn.Conv2d:
    """A 3x3 convolution (N, channels, M, M) to the same shape that starts as the identity.

    Followed by a ReLU it keeps input that is not negative, such as the output of a ReLU. So the
    three mask convolutions that arXiv 2009.01559 adds in its second stage start from the first
    stage's masks (ours: the paper does not say how they start).
    """
    conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
    nn.init.dirac_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
