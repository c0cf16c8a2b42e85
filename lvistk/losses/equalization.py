"""Equalization loss (Tan et al., CVPR 2020, arXiv 2003.05176): foreground RoIs spare the tail.

A sigmoid classifier of C channels; background is the all-zero target. A RoI of category a is a
negative sample of every other category; for the tail, these discouraging gradients outnumber the
encouraging ones, and are dropped.
"""

import math
from fractions import Fraction

from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, one_hot, reduce_rois


def equalization_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    tail: Tensor,
    negatives: Tensor | None = None,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Sigmoid cross-entropy, summed over categories, with weight 1 - E(n) T(j) (1 - y_nj).

    logits: (N, C)
    labels: (N,) in 0..C, C is background
    tail: (C,) bool, T; `tail_categories` makes it. All False gives the plain sigmoid loss.
    negatives: (N, C) bool, categories verified absent in the RoI's image; their weight is 1 again,
        tail or not (the federated clause, section 4.2 of the paper; its author's released code
        leaves it out)
    weights, normalizer: see `reduction.reduce_rois`; the normalizer counts background RoIs too

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    logits = full_precision(logits)
    num_categories = logits.shape[1]
    targets = one_hot(labels, num_categories, dtype=logits.dtype)  # (N, C)
    foreground = (labels < num_categories)[:, None]  # (N, 1), E
    spared = foreground & tail & (targets == 0)  # (N, C)
    if negatives is not None:
        spared = spared & ~negatives
    values = F.binary_cross_entropy_with_logits(
        logits, targets, weight=(~spared).to(logits.dtype), reduction="none"
    ).sum(dim=1)  # (N,)
    return reduce_rois(values, weights=weights, normalizer=normalizer)


def equalization_scores(logits: Tensor) -> Tensor:
    """Sigmoid probabilities (N, C) of logits (N, C)."""
    return full_precision(logits).sigmoid()


def tail_categories(image_counts: Tensor, *, below: float) -> Tensor:
    """Which categories are tail: those in at most so many training images.

    image_counts: (C,) images with the category
    below: 109 on LVIS v1, where it is the paper's frequency threshold .0011 (815 of 1203
        categories)

    Returns (C,) bool.
    """
    return image_counts <= below


def images_below(fraction: float, *, images: int) -> int:
    """`below` of the paper's threshold: the most images that are strictly less than a share of all.

    A category is tail if count / images < fraction. The fraction is taken as the decimal that was
    written: .07 of 100 images gives 6, while .07 * 100 in floats is a little more than 7

    fraction: 0 to 1
    images: images with any annotation

    Returns 0 if no number of images is below.
    """
    return max(math.ceil(Fraction(str(fraction)) * images) - 1, 0)


def prior_bias(probability: float = 0.001) -> float:
    """The bias at which a sigmoid classifier starts by giving every category this probability.

    Without it the sum over C negatives of each RoI diverges.
    """
    return -math.log((1 - probability) / probability)
