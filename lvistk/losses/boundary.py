"""Boundary supervision (Cheng et al., ECCV 2020, arXiv 2007.08921): targets and loss."""

from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, reduce_rois


def boundary_targets(masks: Tensor) -> Tensor:
    """Inner boundary of each mask: pixels that touch the outside or the crop's edge, corners count.

    This is where the paper's Laplacian (8 in the middle, -1 around, zeros beyond the crop) is
    positive on a binary mask. Computed as mask minus its erosion, which is exact in every
    precision.

    masks: (N, M, M) in [0, 1] or bool; foreground is .5 or more

    Returns (N, M, M) float32 of 0 and 1.
    """
    inside = (masks >= 0.5).float()[:, None]  # (N, 1, M, M): pooling takes an empty batch only so
    eroded = -F.max_pool2d(-F.pad(inside, (1, 1, 1, 1)), kernel_size=3, stride=1)
    return (inside - eroded)[:, 0]  # (N, M, M)


def boundary_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Cross-entropy averaged over pixels plus dice with linear denominators, averaged over RoIs.

    The dice differs from `mask.squared_dice`: 1 - (2 sum p y + 1) / (sum p + sum y + 1).

    logits: (N, M, M) of each RoI's own category
    targets: (N, M, M) from `boundary_targets`
    weights: (N,)
    normalizer: 0-d count of positive RoIs; see `reduction.reduce_rois`

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    logits = full_precision(logits).flatten(1)  # (N, M * M)
    y = targets.to(logits.dtype).flatten(1)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(dim=1)
    p = logits.sigmoid()
    dice = 1 - (2 * (p * y).sum(dim=1) + 1) / (p.sum(dim=1) + y.sum(dim=1) + 1)
    return reduce_rois(cross_entropy + dice, weights=weights, normalizer=normalizer)
