"""What a stage asks the training loop to do, and where the loop writes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from lvistk.config.train import LoopSettings, OptimSettings
from lvistk.structures.targets import Targets


class Batch(Protocol):
    """What the model makes losses of, beside targets: images, or RoIs that were pooled before."""

    def to(self, device: torch.device, *, channels_last: bool = False) -> "Batch":
        """The same on ``device``."""
        ...


Part = tuple[Batch, list[Targets]]
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"


class Batches(Protocol):
    """Training data; a batch here is what one rank runs at once (the loop's batch over ranks and parts)."""

    def len_epoch(self, epoch: int) -> int:
        """Samples of an epoch, over all ranks."""
        ...

    def epoch(self, epoch: int, start_sample: int = 0) -> Iterator[Part]:
        """This rank's parts of an epoch, from the global sample ``start_sample`` on."""
        ...


@dataclass(frozen=True)
class Job:
    """What a stage asks the loop to do.

    model: ``model(batch, targets)`` gives a dict of 0-d losses whose sum is minimised.
    frozen: modules that stay in eval mode.
    evaluate: called on every rank every ``loop.evaluate_epochs`` epochs; the numbers that it returns on
        the main one are logged under their names, and the checkpoint with the highest ``AP`` is kept.
    description: JSON values with which a checkpoint can be read as a model.
    resumed: called on the main rank with the step after which the run goes on, 0 at its beginning, and again
        where it goes back to an earlier checkpoint.
    """

    model: nn.Module
    batches: Batches
    optim: OptimSettings
    loop: LoopSettings
    folder: Path
    device: torch.device
    seed: int = 0
    frozen: Sequence[nn.Module] = ()
    evaluate: Callable[[nn.Module], dict[str, float | None]] | None = None
    description: Mapping[str, Any] = field(default_factory=dict)
    resumed: Callable[[int], None] = lambda step: None
