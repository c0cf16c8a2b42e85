"""Box regression loss on encoded deltas."""

from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, reduce_rois


def smooth_l1_loss(
    deltas: Tensor,
    targets: Tensor,
    *,
    beta: float = 1.0,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Huber loss divided by beta, summed over the four deltas: quadratic below beta, linear above.

    deltas, targets: (N, 4), of positive RoIs or anchors
    beta: 0 gives L1
    weights: (N,)
    normalizer: 0-d count of all sampled RoIs, negative ones too; see `reduction.reduce_rois`

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    deltas = full_precision(deltas)
    values = F.smooth_l1_loss(deltas, targets.to(deltas.dtype), beta=beta, reduction="none")
    return reduce_rois(values.sum(dim=1), weights=weights, normalizer=normalizer)
