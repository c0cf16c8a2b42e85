"""Seesaw loss (arXiv 2008.10032): softmax with negatives re-scaled by pair of categories."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lvistk.distributed import sum_over_ranks
from lvistk.losses.seesaw import SampleCounts, sampled_counts, seesaw_loss, seesaw_scores
from lvistk.models.classifiers.logits_layer import LogitsLayer
from lvistk.models.classifiers.classifier import Channels, Remark
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class SeesawClassifier(nn.Module):
    """C + 2 channels: categories, foreground, background; sample counts as a saved buffer.

    p, q: exponents of mitigation and compensation.
    """

    def __init__(
        self, in_channels: int, num_categories: int, *, temperature: float, p: float, q: float
    ) -> None:
        super().__init__()
        self.num_categories = num_categories
        self.channels = Channels("seesaw", num_categories + 2, tuple(range(num_categories)))
        self.linear = LogitsLayer(in_channels, self.channels.number, temperature=temperature)
        self.counts = SampleCounts(num_categories)
        self.p, self.q = p, q

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
        new = sampled_counts(samples.labels, num_categories=self.num_categories)
        if self.training:  # not while it is frozen
            self.counts.add(sum_over_ranks(new))
        return seesaw_loss(
            logits,
            samples.labels,
            counts=self.counts.counts,
            p=self.p,
            q=self.q,
            weights=samples.weights,
            normalizer=samples.count(),
        )

    def scores(self, logits: Tensor) -> Tensor:
        return seesaw_scores(logits)

    def remarks(self) -> list[Remark]:
        return []
