"""Equalization loss v2 (arXiv 2012.08548): sigmoids whose gradients are balanced by history."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lvistk.distributed import sum_over_ranks
from lvistk.losses.equalization import prior_bias
from lvistk.losses.equalization_v2 import (
    GradientBalance,
    equalization_v2_loss,
    equalization_v2_scores,
    gradient_sums,
)
from lvistk.models.classifiers.logits_layer import LogitsLayer
from lvistk.models.classifiers.classifier import Channels, Remark
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class EqlV2Classifier(nn.Module):
    """C + 1 channels, background last, and the gradient sums as a saved buffer.

    prior_probability: what every category's score starts at.
    gamma, mu, alpha: see ``losses.equalization_v2.GradientBalance``.
    """

    def __init__(
        self,
        in_channels: int,
        num_categories: int,
        *,
        temperature: float,
        prior_probability: float,
        gamma: float,
        mu: float,
        alpha: float,
    ) -> None:
        super().__init__()
        self.channels = Channels("eql_v2", num_categories + 1, tuple(range(num_categories)))
        self.linear = LogitsLayer(
            in_channels,
            self.channels.number,
            temperature=temperature,
            bias=prior_bias(prior_probability),
        )
        self.balance = GradientBalance(num_categories, gamma=gamma, mu=mu, alpha=alpha)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)

    def loss(
        self,
        logits: Tensor,
        samples: RoiSamples,
        *,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        labels, weights = samples.labels, samples.weights
        balance = self.balance.weights()
        sums = gradient_sums(logits, labels, balance=balance, weights=weights)
        if self.training:  # not while it is frozen
            self.balance.add(sum_over_ranks(sums))
        return equalization_v2_loss(
            logits, labels, balance=balance, weights=weights, normalizer=samples.count()
        )

    def scores(self, logits: Tensor) -> Tensor:
        return equalization_v2_scores(logits)

    def remarks(self) -> list[Remark]:
        return []
