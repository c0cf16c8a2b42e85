"""What every classifier is and offers to box heads, stages and upgrades."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lvistk.losses.equalization import prior_bias
from lvistk.models.classifiers.logits_layer import LogitsLayer
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


@dataclass(frozen=True)
class Channels:
    """What the channels of a classifier's logits mean; equal ones can take over each other's weights.

    kind: the classifier's name in the settings.
    number: channels in all.
    of_category: (C,) the channel of each category.
    background: the channel of background, where one softmax is over it and all categories; else None.
    objectness: the channels of foreground and background, where a softmax of their own tells them apart;
        else None.
    """

    kind: str
    number: int
    of_category: tuple[int, ...]
    background: int | None = None
    objectness: tuple[int, int] | None = None


class Remark(NamedTuple):
    """One line for the user about what a classifier's settings do with these categories."""

    text: str
    is_warning: bool = False


class PerImage(NamedTuple):
    """What a loss may need of the images that its RoIs come from.

    targets: ground truth, one per image.
    generators: one per image. What is drawn at random is drawn image by image, so that it does not
        depend on how images are spread over ranks.
    """

    targets: Sequence[Targets]
    generators: Sequence[torch.Generator]


class Classifier(nn.Module, ABC):
    """The last layer of a box head: logits, their loss, and the scores they mean.

    A base class of our own, because six kinds would repeat all of it. A kind has further parameters and
    buffers as it needs them, and must not rename ``linear``, which weights on disk are named by.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Channels,
        *,
        temperature: float,
        prior_probability: float | None = None,
    ) -> None:
        """temperature: see ``LogitsLayer``.

        prior_probability: the score of every category before training, of classifiers of sigmoids.
        """
        super().__init__()
        bias = 0.0 if prior_probability is None else prior_bias(prior_probability)
        self.channels = channels
        self.linear = LogitsLayer(in_channels, channels.number, temperature=temperature, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, channels) of features (N, F)."""
        return self.linear(features)

    @abstractmethod
    def loss(self, logits: Tensor, samples: RoiSamples, images: PerImage) -> Tensor:
        """0-d loss of sampled RoIs, divided by their number (mean over ranks); N = 0 keeps the graph."""

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Foreground probabilities (N, C)."""

    def remarks(self) -> list[Remark]:
        """What the user should know before training."""
        return []

    def category_rows(self) -> tuple[Tensor, Tensor] | None:
        """Weights (C, F) and biases (C,) of the categories' log-odds, for another kind to start from.

        The categories' rows, less background's where one softmax is over both. None where they are
        compared by their directions, of which a difference says nothing.
        """
        if self.linear.temperature:
            return None
        weight, bias = self.linear.weight, self.linear.bias
        rows, background = list(self.channels.of_category), self.channels.background
        if background is None:
            return weight[rows], bias[rows]
        return weight[rows] - weight[background], bias[rows] - bias[background]

    @torch.no_grad()
    def start_from(self, old: "Classifier", labels: np.ndarray | None = None) -> bool:
        """Take over what another kind has learned of the same categories; whether that was possible.

        labels: (C,) the label in ``old`` of each category, -1 for one that it doesn't know; None where
            both have the same labels.

        Objectness is taken over where both have it. Other channels and unknown categories stay as they are.
        """
        rows = old.category_rows()
        if self.linear.temperature or rows is None or old.channels.kind == self.channels.kind:
            return False
        of_category = np.array(self.channels.of_category)
        labels = np.arange(len(of_category)) if labels is None else labels
        known = labels >= 0
        for own, theirs in zip((self.linear.weight, self.linear.bias), rows, strict=True):
            own[of_category[known]] = theirs.to(own)[labels[known]]
        source, target = old.channels.objectness, self.channels.objectness
        if source and target:
            for name in ("weight", "bias"):
                own = getattr(self.linear, name)
                own[list(target)] = getattr(old.linear, name).to(own)[list(source)]
        return True
