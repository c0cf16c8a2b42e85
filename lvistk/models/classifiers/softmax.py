"""Plain softmax over C categories and background."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lvistk.losses.softmax import softmax_loss, softmax_scores
from lvistk.models.classifiers.logits_layer import LogitsLayer
from lvistk.models.classifiers.classifier import Channels, Remark
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class SoftmaxClassifier(nn.Module):
    """C + 1 channels, background last."""

    def __init__(self, in_channels: int, num_categories: int, *, temperature: float) -> None:
        super().__init__()
        self.channels = Channels(
            "softmax", num_categories + 1, tuple(range(num_categories)), background=num_categories
        )
        self.linear = LogitsLayer(in_channels, self.channels.number, temperature=temperature)

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
        return softmax_loss(
            logits, samples.labels, weights=samples.weights, normalizer=samples.count()
        )

    def scores(self, logits: Tensor) -> Tensor:
        return softmax_scores(logits)

    def remarks(self) -> list[Remark]:
        return []
