"""Plain softmax over C categories and background."""

from torch import Tensor

from lvistk.losses.softmax import softmax_loss, softmax_scores
from lvistk.models.classifiers.classifier import Channels, Classifier, PerImage
from lvistk.models.samples import RoiSamples


class SoftmaxClassifier(Classifier):
    """C + 1 channels, background last."""

    def __init__(self, in_channels: int, num_categories: int, *, temperature: float) -> None:
        of_category = tuple(range(num_categories))
        channels = Channels("softmax", num_categories + 1, of_category, background=num_categories)
        super().__init__(in_channels, channels, temperature=temperature)

    def loss(self, logits: Tensor, samples: RoiSamples, images: PerImage) -> Tensor:
        return softmax_loss(
            logits, samples.labels, weights=samples.weights, normalizer=samples.count()
        )

    def scores(self, logits: Tensor) -> Tensor:
        return softmax_scores(logits)
