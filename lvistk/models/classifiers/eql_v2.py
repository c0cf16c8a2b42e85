"""Equalization loss v2 (arXiv 2012.08548): sigmoids whose gradients are balanced by history."""

from torch import Tensor

from lvistk.config.classifier import EqlV2Settings
from lvistk.distributed import sum_over_ranks
from lvistk.losses.equalization_v2 import (
    GradientBalance,
    equalization_v2_loss,
    equalization_v2_scores,
    gradient_sums,
)
from lvistk.models.classifiers.classifier import Channels, Classifier, PerImage
from lvistk.models.samples import RoiSamples


class EqlV2Classifier(Classifier):
    """C + 1 channels, background last, and the gradient sums as a saved buffer.

    temperature, prior_probability: see ``Classifier``.
    """

    def __init__(
        self,
        in_channels: int,
        num_categories: int,
        *,
        temperature: float,
        prior_probability: float,
        settings: EqlV2Settings,
    ) -> None:
        super().__init__(
            in_channels,
            Channels("eql_v2", num_categories + 1, tuple(range(num_categories))),
            temperature=temperature,
            prior_probability=prior_probability,
        )
        self.balance = GradientBalance(
            num_categories, gamma=settings.gamma, mu=settings.mu, alpha=settings.alpha
        )

    def loss(self, logits: Tensor, samples: RoiSamples, images: PerImage) -> Tensor:
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
