"""Equalization loss (arXiv 2003.05176): a sigmoid for each category, of which tail ones are spared."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lvistk.losses.equalization import equalization_loss, equalization_scores
from lvistk.models.classifiers.classifier import Channels, Classifier, PerImage, Remark
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class EqlClassifier(Classifier):
    """C channels.

    tail: (C,) bool, the categories that foreground RoIs of others do not push down.
    temperature, prior_probability: see ``Classifier``.
    negative_clause: verified negatives push a tail category down all the same (section 4.2).
    """

    def __init__(
        self,
        in_channels: int,
        *,
        tail: Tensor,
        temperature: float,
        prior_probability: float,
        negative_clause: bool,
    ) -> None:
        super().__init__(
            in_channels,
            Channels("eql", len(tail), tuple(range(len(tail)))),
            temperature=temperature,
            prior_probability=prior_probability,
        )
        self.negative_clause = negative_clause
        self.tail: Tensor
        self.register_buffer("tail", tail, persistent=False)

    def loss(self, logits: Tensor, samples: RoiSamples, images: PerImage) -> Tensor:
        return equalization_loss(
            logits,
            samples.labels,
            tail=self.tail,
            negatives=self._negatives(samples, images.targets) if self.negative_clause else None,
            weights=samples.weights,
            normalizer=samples.count(),
        )

    def scores(self, logits: Tensor) -> Tensor:
        return equalization_scores(logits)

    def remarks(self) -> list[Remark]:
        tail, total = int(self.tail.sum()), len(self.tail)
        remarks = [Remark(f"equalization loss: {tail} of {total} categories are tail")]
        if tail in (0, total):
            text = (
                f"{'none' if tail == 0 else 'all'} of the categories are tail, so the equalization "
                "loss tells none apart; change classifier.eql.tail_images"
            )
            remarks.append(Remark(text, is_warning=True))
        return remarks

    def _negatives(self, samples: RoiSamples, targets: Sequence[Targets]) -> Tensor:
        """(N, C) bool: categories verified absent in each RoI's image."""
        shape = (len(targets), len(self.tail))
        absent = torch.zeros(shape, dtype=torch.bool, device=samples.labels.device)
        for row, target in zip(absent, targets, strict=True):
            row[target.negative_labels] = True
        return absent[samples.image]
