"""How every loss ends: per-RoI values in full precision, weighted, summed, divided by a count."""

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """Half-precision tensors as float32; float32 and float64 as they are."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def reduce_rois(
    values: Tensor, *, weights: Tensor | None = None, normalizer: Tensor | None = None
) -> Tensor:
    """Sum of weighted per-RoI losses over an unweighted count.

    values: (N,) loss of each RoI
    weights: (N,) factor of each RoI, its image's loss weight; none means 1
    normalizer: 0-d, the unweighted number of RoIs. A distributed caller gives its mean over ranks,
        so that the averaged gradients do not depend on how the RoIs are spread. Default: N.

    Returns a 0-d loss. N = 0 gives a zero that keeps the graph.
    """
    if weights is not None:
        values = values * weights
    if normalizer is None:
        return values.sum() / max(len(values), 1)
    return divide_by_count(values.sum(), normalizer)


def divide_by_count(total: Tensor, count: Tensor) -> Tensor:
    """total / count, and 0 where there was nothing to count.

    A mean count over ranks may well be under 1: the floor is below 1 / (any number of ranks).
    """
    return total / count.clamp(min=1e-6)


def one_hot(labels: Tensor, num_categories: int, *, dtype: torch.dtype) -> Tensor:
    """(N, C) with a one at each foreground label; the row of background (label C) is zero."""
    categories = torch.arange(num_categories, device=labels.device)
    return (labels[:, None] == categories).to(dtype)  # (N, C)
