"""Convolutions that start as the identity."""

import torch
from torch import nn
from torch.nn import functional as F

from lvistk.models.conv_init import identity_conv, relu_conv


def test_three_identities_keep_what_a_relu_gave_bit_for_bit() -> None:
    features = torch.randn(2, 8, 5, 5).relu()
    result = features
    for _ in range(3):
        result = F.relu(identity_conv(8)(result))
    assert result.equal(features)


def test_an_identity_learns() -> None:
    torch.manual_seed(0)
    head = nn.Sequential(identity_conv(4), nn.ReLU())
    head(torch.randn(3, 4, 5, 5).relu()).square().sum().backward()
    assert (head[0].weight.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_relu_conv_halves_the_side_by_its_stride() -> None:
    assert relu_conv(3, 4, stride=2)(torch.randn(1, 3, 28, 28)).shape == (1, 4, 14, 14)
    assert relu_conv(3, 4, kernel_size=1)(torch.randn(1, 3, 14, 14)).shape == (1, 4, 14, 14)
