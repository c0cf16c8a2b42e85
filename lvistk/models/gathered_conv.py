"""A class-specific 1x1 convolution that computes only the channel of each RoI's own category."""

import torch
from torch import Tensor, nn

from lvistk.models.normalised import normalised


class GatheredConv2d(nn.Module):
    """Parameters of `nn.Conv2d(in_channels, num_categories, 1)`, but one output channel per RoI.

    Equal to that convolution followed by picking each RoI's channel, gradients included, at a cost
    in time and memory that does not depend on the number of categories: all channels of 128 RoIs
    at 28 x 28 with 1203 categories would be 0.45 GB. Weights of a plain convolution load as they
    are.

    temperature: not 0, the cosine of features and weights times it replaces their product.
    """

    def __init__(self, in_channels: int, num_categories: int, *, temperature: float = 0.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.weight = nn.Parameter(torch.empty(num_categories, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(num_categories))
        nn.init.normal_(self.weight, std=0.001)  # as detectron2's mask predictor

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Logits (K, M, M) of features (K, in_channels, M, M) and labels (K,) in 0..C-1.

        K = 0 gives (0, M, M) with a graph.
        """
        weight = self.weight.flatten(1).index_select(0, labels)  # (K, in_channels)
        bias = self.bias.index_select(0, labels)[:, None, None]  # (K, 1, 1)
        if self.temperature:
            features, weight = normalised(features), self.temperature * normalised(weight)
        return torch.einsum("kchw,kc->khw", features, weight) + bias
