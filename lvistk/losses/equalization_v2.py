"""Equalization loss v2 (Tan et al., CVPR 2021, arXiv 2012.08548): gradients re-balanced by history.

C + 1 sigmoid channels, the last one says background. Each category's negative gradient is damped,
and its positive one raised, as long as the positive gradients it has received fall short of the
negative ones.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, one_hot, reduce_rois

GAMMA, MU, ALPHA = 12.0, 0.8, 4.0  # section 4 of the paper


class GradientRatio(nn.Module):
    """Sums of the positive and of the negative gradients that each category has received.

    A step reads `ratio()`, computes the loss, then adds `gradient_sums(...)`, which a distributed
    caller first sums over ranks. The sums are buffers, so they move, are saved and are resumed
    with the model.
    """

    def __init__(self, num_categories: int) -> None:
        super().__init__()
        self.sums: Tensor
        self.register_buffer("sums", torch.zeros(2, num_categories))

    def ratio(self) -> Tensor:
        """(C,) positive over negative sums; 100 (neutral weights) before the first step."""
        positive, negative = self.sums
        return torch.where(negative > 0, positive / (negative + 1e-10), 100.0)

    def add(self, sums: Tensor) -> None:
        """Add (2, C) gradient sums of one step, in place."""
        self.sums += sums


def equalization_v2_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    ratio: Tensor,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Sigmoid cross-entropy over C + 1 channels, weighted by the gradient ratio.

    logits: (N, C + 1), background last. labels: (N,) in 0..C, C is background.
    ratio: (C,) from `GradientRatio.ratio`.
    weights, normalizer: see `reduction.reduce_rois`.

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    logits = full_precision(logits)
    targets = one_hot(labels, logits.shape[1], dtype=logits.dtype)  # (N, C + 1)
    values = F.binary_cross_entropy_with_logits(
        logits, targets, weight=_channel_weights(targets, ratio), reduction="none"
    ).sum(dim=1)  # (N,)
    return reduce_rois(values, weights=weights, normalizer=normalizer)


@torch.no_grad()
def gradient_sums(
    logits: Tensor, labels: Tensor, *, ratio: Tensor, weights: Tensor | None = None
) -> Tensor:
    """(2, C): sums over RoIs of |p - y| w, where a category is the target and where it is not."""
    logits = full_precision(logits)
    targets = one_hot(labels, logits.shape[1], dtype=logits.dtype)  # (N, C + 1)
    gradients = (logits.sigmoid() - targets).abs() * _channel_weights(targets, ratio)
    if weights is not None:
        gradients = gradients * weights[:, None]
    positive = (gradients * targets).sum(dim=0)  # (C + 1,)
    return torch.stack([positive, gradients.sum(dim=0) - positive])[:, :-1]  # (2, C)


def equalization_v2_scores(logits: Tensor) -> Tensor:
    """Foreground probabilities (N, C): each category's sigmoid times one minus background's."""
    probabilities = full_precision(logits).sigmoid()  # (N, C + 1)
    return probabilities[:, :-1] * (1 - probabilities[:, -1:])


def _channel_weights(targets: Tensor, ratio: Tensor) -> Tensor:
    negative = torch.sigmoid(GAMMA * (ratio.to(targets.dtype) - MU))  # (C,), f
    negative = F.pad(negative, (0, 1), value=1.0)  # (C + 1,): background is weighted by 1
    positive = 1 + ALPHA * (1 - negative)
    return torch.where(targets > 0, positive, negative)  # (N, C + 1)
