"""Mask losses: Mask R-CNN's cross-entropy, and the balanced loss of arXiv 2009.01559, Eq. 2 to 5.

All take the logits of each RoI's own category. Targets are 0 and 1, or in between where resampling
blurs an edge.
"""

from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, reduce_rois


def mask_bce_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Cross-entropy, averaged over pixels and over RoIs.

    logits: (N, M, M)
    targets: (N, M, M) in [0, 1] or bool
    weights: (N,)
    normalizer: 0-d count of positive RoIs; see `reduction.reduce_rois`

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    logits = full_precision(logits)
    values = F.binary_cross_entropy_with_logits(
        logits, targets.to(logits.dtype), reduction="none"
    )  # (N, M, M)
    return reduce_rois(_pixel_mean(values), weights=weights, normalizer=normalizer)


def balanced_mask_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    dice_weight: float = 1.0,
    bce_weight: float = 1.0,
    max_weight: float | None = None,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Dice plus weighted cross-entropy (Eq. 2), averaged over RoIs.

    Eq. 4 is printed as a sum without a sign or a divisor. We take minus the mean over the M * M
    pixels, which is Mask R-CNN's loss when all weights are 1; a plain sum would be 784 times that
    beside an unchanged learning rate.

    logits: (N, M, M)
    targets: (N, M, M) in [0, 1] or bool
    dice_weight: 1 in the paper, which has no such factor
    bce_weight: lambda, 1 in the paper
    max_weight: cap of the foreground weight; none in the paper, so that a single pixel of 28 x 28
        weighs 392
    weights: (N,)
    normalizer: 0-d count of positive RoIs; see `reduction.reduce_rois`

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    logits = full_precision(logits)
    soft_targets = targets.to(logits.dtype)
    pixel_weights = 1 + (soft_targets >= 0.5) * (
        foreground_weights(soft_targets, max_weight=max_weight)[:, None, None] - 1
    )
    cross_entropy = F.binary_cross_entropy_with_logits(
        logits, soft_targets, weight=pixel_weights, reduction="none"
    )  # (N, M, M)
    dice = squared_dice(logits.sigmoid(), soft_targets)
    values = dice_weight * dice + bce_weight * _pixel_mean(cross_entropy)
    return reduce_rois(values, weights=weights, normalizer=normalizer)


def foreground_weights(targets: Tensor, *, max_weight: float | None = None) -> Tensor:
    """Weight of the foreground pixels of each RoI: max(1, 0.5 * S_box / S_mask) (Eq. 5).

    targets: (N, M, M); S_mask counts its pixels of at least .5, and 1 if there are none; S_box is
    M * M. Shares of .5, .25, .1, .01 weigh 1, 2, 5, 50. Returns (N,).
    """
    share = (targets >= 0.5).flatten(1).to(targets.dtype)  # (N, M * M)
    weights = 0.5 * share.shape[1] / share.sum(dim=1).clamp(min=1)
    return weights.clamp(min=1, max=max_weight)


def squared_dice(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - (2 sum p y + 1) / (sum p^2 + sum y^2 + 1) of each RoI (Eq. 3, after V-Net).

    Both (N, M, M). Returns (N,) in [0, 1): 0 where they are equal, two empty masks among them.
    """
    p, y = probabilities.flatten(1), targets.flatten(1)  # (N, M * M)
    return 1 - (2 * (p * y).sum(dim=1) + 1) / (p.square().sum(dim=1) + y.square().sum(dim=1) + 1)


def _pixel_mean(values: Tensor) -> Tensor:
    """(N, M, M) to (N,)."""
    return values.mean(dim=(1, 2))
