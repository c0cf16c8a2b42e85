"""Exponential moving average of the trained weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Averages of every trainable parameter of a model; frozen ones and buffers are the model's.

    The decay rises to its full value as min(decay, (1 + n) / (10 + n)) after n updates, so that the
    random start is soon forgotten (ours; TensorFlow's ExponentialMovingAverage has the same rule).
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.averages = {n: p.detach().clone() for n, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, *, updates: int) -> None:
        """Take in the weights after the step numbered ``updates`` (the first is 0)."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for name, parameter in self._parameters.items():
            self.averages[name].lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def load(self, averages: dict[str, Tensor]) -> None:
        for name, value in averages.items():
            self.averages[name].copy_(value)

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """The averages become the model's weights, for good."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self.averages[name])

    @contextlib.contextmanager
    def in_model(self) -> Iterator[None]:
        """The averages are the model's weights within the block, as for an evaluation."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.copy_to_model()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(kept[name])
