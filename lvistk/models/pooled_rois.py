"""Features of RoIs that were pooled before, for heads that learn on a frozen representation."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lvistk.models.samples import RoiSamples

BOTH = ("box", "mask")
LISTS = ("lengths", "positives")
"""Fields of RoiSamples that are lists of numbers."""


@dataclass(eq=False)
class PooledRois:
    """What the box head and the mask head learn from in one batch of B images, N RoIs, K of them positive.

    samples: the RoIs and what they are.
    box: (N, C, P, P) pooled for the box head, or (N, F) behind its shared layers where these are frozen.
    mask: (K, C, P, P) pooled for the mask head; None where masks are not trained.
    crops: (K, M, M) bool, the ground truth masks in the positive RoIs; None without ``mask``.
    states: (B, S) uint8, state of each image's random generator after the RoIs were drawn.
    turn: how often the batch was learnt from before.
    """

    samples: RoiSamples
    box: Tensor
    mask: Tensor | None
    crops: Tensor | None
    states: Tensor
    turn: int = 0

    def to(self, device: torch.device, *, channels_last: bool = False) -> "PooledRois":
        """The same on ``device``, features in float32; ``states`` stay on the CPU. ``channels_last`` is of
        images, which are not needed any more."""
        tensors = {name: one.to(device) for name, one in self.tensors().items() if name != "states"}
        features = {name: tensors[name].float() for name in BOTH if name in tensors}
        moved = {**tensors, **features, "states": self.states}
        return PooledRois.of(moved, self.table(), turn=self.turn)

    def generators(self, device: torch.device) -> list[torch.Generator]:
        """Each image's random generator as it was after the RoIs were drawn; of a later ``turn``, one that
        gives other numbers."""
        generators = [torch.Generator(device=device) for _ in self.states]
        for generator, state in zip(generators, self.states, strict=True):
            generator.set_state(state.clone())
            if self.turn:
                generator.manual_seed((generator.initial_seed() + self.turn) % 2**62)
        return generators

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, as files hold them."""
        fields = dataclasses.fields(RoiSamples)
        named = {f"samples.{one.name}": getattr(self.samples, one.name) for one in fields}
        tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
        optional = {"mask": self.mask, "crops": self.crops}
        tensors |= {name: value for name, value in optional.items() if value is not None}
        return {**tensors, "box": self.box, "states": self.states}

    def table(self) -> dict[str, Any]:
        """What is no tensor, JSON values."""
        return {name: getattr(self.samples, name) for name in LISTS}

    @classmethod
    def of(
        cls, tensors: Mapping[str, Tensor], table: Mapping[str, Any], *, turn: int = 0
    ) -> "PooledRois":
        """What ``tensors`` and ``table`` were made of."""
        prefix = "samples."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        own.setdefault("mask_weights", own["weights"])  # files of earlier releases have none
        lengths, positives = (list(table[name]) for name in LISTS)
        samples = RoiSamples(**own, lengths=lengths, positives=positives)
        return cls(
            samples=samples,
            box=tensors["box"],
            mask=tensors.get("mask"),
            crops=tensors.get("crops"),
            states=tensors["states"],
            turn=turn,
        )
