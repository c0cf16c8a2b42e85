"""Plain softmax cross-entropy, the Mask R-CNN classifier: C + 1 channels, background last."""

from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, reduce_rois


def softmax_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Cross-entropy over C categories and background, summed over RoIs and divided by their count.

    logits: (N, C + 1), background last
    labels: (N,) in 0..C, C is background
    weights, normalizer: see `reduction.reduce_rois`

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    values = F.cross_entropy(full_precision(logits), labels, reduction="none")  # (N,)
    return reduce_rois(values, weights=weights, normalizer=normalizer)


def softmax_scores(logits: Tensor) -> Tensor:
    """Foreground probabilities (N, C) of logits (N, C + 1)."""
    return full_precision(logits).softmax(dim=1)[:, :-1]
