"""Seesaw loss (arXiv 2008.10032): softmax with negatives re-scaled by pair of categories."""

from torch import Tensor

from lvistk.config.classifier import SeesawSettings
from lvistk.distributed import sum_over_ranks
from lvistk.losses.seesaw import SampleCounts, sampled_counts, seesaw_loss, seesaw_scores
from lvistk.models.classifiers.classifier import Channels, Classifier, PerImage
from lvistk.models.samples import RoiSamples


class SeesawClassifier(Classifier):
    """C + 2 channels: categories, foreground, background; sample counts as a saved buffer.

    temperature: see ``LogitsLayer``.
    """

    def __init__(
        self,
        in_channels: int,
        num_categories: int,
        *,
        temperature: float,
        settings: SeesawSettings,
    ) -> None:
        channels = Channels(
            "seesaw",
            num_categories + 2,
            tuple(range(num_categories)),
            objectness=(num_categories, num_categories + 1),
        )
        super().__init__(in_channels, channels, temperature=temperature)
        self.num_categories, self.settings = num_categories, settings
        self.counts = SampleCounts(num_categories)

    def loss(self, logits: Tensor, samples: RoiSamples, images: PerImage) -> Tensor:
        new = sampled_counts(samples.labels, num_categories=self.num_categories)
        if self.training:  # not while it is frozen
            self.counts.add(sum_over_ranks(new))
        return seesaw_loss(
            logits,
            samples.labels,
            counts=self.counts.counts,
            p=self.settings.p,
            q=self.settings.q,
            weights=samples.weights,
            normalizer=samples.count(),
        )

    def scores(self, logits: Tensor) -> Tensor:
        return seesaw_scores(logits)
