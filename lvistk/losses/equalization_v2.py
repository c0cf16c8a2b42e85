"""Equalization loss v2 (Tan et al., CVPR 2021, arXiv 2012.08548): gradients re-balanced by history.

C + 1 sigmoid channels, the last one says background. Each category's negative gradient is damped,
and its positive one raised, as long as the positive gradients it has received fall short of the
negative ones.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, one_hot, reduce_rois


class GradientBalance(nn.Module):
    """Sums of the positive and of the negative gradients that each category has received.

    A step reads `weights()`, computes the loss, then adds `gradient_sums(...)`, which a distributed
    caller first sums over ranks. The sums are a buffer, so they move, are saved and are resumed
    with the model.

    gamma, mu: slope and middle of the map from gradient ratio to weight
    alpha: how much positive gradients are raised

    Defaults: section 4 of the paper.
    """

    def __init__(
        self, num_categories: int, *, gamma: float = 12.0, mu: float = 0.8, alpha: float = 4.0
    ) -> None:
        super().__init__()
        self.gamma, self.mu, self.alpha = gamma, mu, alpha
        self.sums: Tensor
        self.register_buffer("sums", torch.zeros(2, num_categories))

    def ratio(self) -> Tensor:
        """(C,) positive over negative sums; 100, which is neutral, before the first step."""
        positive, negative = self.sums
        return torch.where(negative > 0, positive / (negative + 1e-10), 100.0)

    def weights(self) -> Tensor:
        """(2, C + 1): weights of each channel's positive and negative samples; background's are 1."""
        negative = torch.sigmoid(self.gamma * (self.ratio() - self.mu))  # (C,)
        balance = torch.stack([1 + self.alpha * (1 - negative), negative])
        return F.pad(balance, (0, 1), value=1.0)

    def add(self, sums: Tensor) -> None:
        """Add (2, C) gradient sums of one step, in place."""
        self.sums += sums


def equalization_v2_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    balance: Tensor,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Sigmoid cross-entropy over C + 1 channels, each weighted by its category's balance.

    logits: (N, C + 1), background last
    labels: (N,) in 0..C, C is background
    balance: (2, C + 1) from `GradientBalance.weights`
    weights, normalizer: see `reduction.reduce_rois`

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    logits = full_precision(logits)
    targets = one_hot(labels, logits.shape[1], dtype=logits.dtype)  # (N, C + 1)
    values = F.binary_cross_entropy_with_logits(
        logits, targets, weight=torch.where(targets > 0, *balance), reduction="none"
    ).sum(dim=1)  # (N,)
    return reduce_rois(values, weights=weights, normalizer=normalizer)


@torch.no_grad()
def gradient_sums(
    logits: Tensor, labels: Tensor, *, balance: Tensor, weights: Tensor | None = None
) -> Tensor:
    """(2, C): sums over RoIs of |p - y| w, where a category is the target and where it is not."""
    logits = full_precision(logits)
    targets = one_hot(labels, logits.shape[1], dtype=logits.dtype)  # (N, C + 1)
    gradients = (logits.sigmoid() - targets).abs() * torch.where(targets > 0, *balance)
    if weights is not None:
        gradients = gradients * weights[:, None]
    positive = (gradients * targets).sum(dim=0)  # (C + 1,)
    return torch.stack([positive, gradients.sum(dim=0) - positive])[:, :-1]  # (2, C)


def equalization_v2_scores(logits: Tensor) -> Tensor:
    """Foreground probabilities (N, C): each category's sigmoid times one minus background's."""
    probabilities = full_precision(logits).sigmoid()  # (N, C + 1)
    return probabilities[:, :-1] * (1 - probabilities[:, -1:])
