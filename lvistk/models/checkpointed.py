"""Activation checkpointing that leaves the statistics of batch norm as one forward pass makes them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpointed(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)``, whose insides are computed again in the backward pass, if one follows.

    The second computation must not update running statistics a second time.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return block(x)
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not any(norm.training for norm in norms):
        return checkpoint(block, x, use_reentrant=False)
    return checkpoint(
        block,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _without_statistics(norms)),
    )


@contextmanager
def _without_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    """Norms use the batch's statistics, as in training, and give them no weight in the running ones."""
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, number in before:
            norm.momentum, norm.num_batches_tracked = momentum, number
