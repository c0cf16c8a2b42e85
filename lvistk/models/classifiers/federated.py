"""Federated loss (CenterNet2, LVIS Challenge 2020): sigmoids, of which a step trains few."""

from torch import Tensor

from lvistk.config.classifier import FederatedSettings
from lvistk.losses.equalization import equalization_scores
from lvistk.losses.federated import federated_loss, sample_categories
from lvistk.models.classifiers.classifier import Channels, Classifier, PerImage
from lvistk.models.samples import RoiSamples


class FederatedClassifier(Classifier):
    """C channels.

    image_counts: (C,) training images of each category.
    temperature, prior_probability: see ``Classifier``.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        image_counts: Tensor,
        temperature: float,
        prior_probability: float,
        settings: FederatedSettings,
    ) -> None:
        super().__init__(
            in_channels,
            Channels("federated", len(image_counts), tuple(range(len(image_counts)))),
            temperature=temperature,
            prior_probability=prior_probability,
        )
        self.image_counts: Tensor
        self.register_buffer("image_counts", image_counts, persistent=False)
        self.settings = settings

    def loss(self, logits: Tensor, samples: RoiSamples, images: PerImage) -> Tensor:
        categories = sample_categories(
            samples.labels,
            image_counts=self.image_counts,
            generator=images.generators[0],
            number=self.settings.categories,
            power=self.settings.power,
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
