"""What every classifier offers to box heads, stages and upgrades."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

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
    """

    kind: str
    number: int
    of_category: tuple[int, ...]
    background: int | None = None


class Remark(NamedTuple):
    """One line for the user about what a classifier's settings do with these categories."""

    text: str
    is_warning: bool = False


class Classifier(Protocol):
    """The last layer of a box head, an ``nn.Module``: logits, their loss, and the scores they mean.

    channels: see ``Channels``.
    linear: the layer that makes the logits. Further parameters and buffers are the kind's own.
    """

    channels: Channels
    linear: LogitsLayer

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (N, channels) of features (N, F)."""
        ...

    def loss(
        self,
        logits: Tensor,
        samples: RoiSamples,
        *,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """0-d loss of sampled RoIs, divided by their number (mean over ranks); N = 0 keeps the graph.

        targets, generators: one per image. What is drawn at random is drawn image by image, so that
        it does not depend on how images are spread over ranks.
        """
        ...

    def scores(self, logits: Tensor) -> Tensor:
        """Foreground probabilities (N, C)."""
        ...

    def remarks(self) -> list[Remark]:
        """What the user should know before training."""
        ...
