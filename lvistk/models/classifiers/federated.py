"""Federated loss (CenterNet2, LVIS Challenge 2020): sigmoids, of which a step trains few."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lvistk.losses.equalization import equalization_scores, prior_bias
from lvistk.losses.federated import federated_loss, sample_categories
from lvistk.models.classifiers.logits_layer import LogitsLayer
from lvistk.models.classifiers.classifier import Channels, Remark
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class FederatedClassifier(nn.Module):
    """C channels.

    image_counts: (C,) training images of each category.
    prior_probability: what every category's score starts at.
    number, power: categories of a step, and the exponent of image counts by which they are drawn.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        image_counts: Tensor,
        temperature: float,
        prior_probability: float,
        number: int,
        power: float,
    ) -> None:
        super().__init__()
        self.channels = Channels("federated", len(image_counts), tuple(range(len(image_counts))))
        self.linear = LogitsLayer(
            in_channels,
            self.channels.number,
            temperature=temperature,
            bias=prior_bias(prior_probability),
        )
        self.image_counts: Tensor
        self.register_buffer("image_counts", image_counts, persistent=False)
        self.number, self.power = number, power

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
        categories = sample_categories(
            samples.labels,
            image_counts=self.image_counts,
            generator=generators[0],
            number=self.number,
            power=self.power,
        )
        return federated_loss(
            logits,
            samples.labels,
            categories=categories,
            weights=samples.weights,
            normalizer=samples.count(),
        )

    def scores(self, logits: Tensor) -> Tensor:
        return equalization_scores(logits)

    def remarks(self) -> list[Remark]:
        return []
