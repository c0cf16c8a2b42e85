"""Federated loss (Zhou et al., CenterNet2 at the LVIS Challenge 2020): a step sees few categories.

LVIS images are annotated for some categories only, so absent does not mean negative. A step's
sigmoid loss covers the categories that occur in it, and others drawn at random up to a number,
frequent ones more often.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, one_hot, reduce_rois


def sample_categories(
    labels: Tensor,
    *,
    image_counts: Tensor,
    generator: torch.Generator,
    number: int = 50,
    power: float = 0.5,
) -> Tensor:
    """The categories of one step: all that occur, then others without replacement until `number`.

    labels: (N,) in 0..C, C is background
    image_counts: (C,) images with the category
    number: 50 as published
    power: 0.5 as published; the draw is proportional to image_counts ** power
    generator: on the device of image_counts

    A category without images is never drawn. More than `number` occurring categories all take part.
    Returns (C,) bool, computed without waiting for the device. N = 0 draws all `number`.
    """
    num_categories = len(image_counts)
    present = torch.zeros(num_categories + 1, dtype=torch.bool, device=labels.device)
    present = present.index_fill(0, labels, True)[:-1]  # (C,)
    # The largest of log w + Gumbel noise are a draw without replacement, proportional to w.
    noise = torch.rand(num_categories, generator=generator, device=image_counts.device)
    keys = power * image_counts.float().log() - noise.clamp(min=1e-20).log().neg().log()
    keys = keys.masked_fill(present, torch.inf)
    chosen = keys.topk(min(number, num_categories)).indices
    drawn = torch.zeros_like(present).index_fill(0, chosen, True) & (image_counts > 0)
    return drawn | present


def federated_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    categories: Tensor,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Sigmoid cross-entropy summed over the step's categories.

    logits: (N, C)
    labels: (N,) in 0..C, C is background
    categories: (C,) bool from `sample_categories`. weights, normalizer: see
        `reduction.reduce_rois`.

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph. Scores:
        `equalization.equalization_scores`.
    """
    logits = full_precision(logits)
    targets = one_hot(labels, logits.shape[1], dtype=logits.dtype)  # (N, C)
    values = F.binary_cross_entropy_with_logits(
        logits, targets, weight=categories.to(logits.dtype).expand_as(logits), reduction="none"
    ).sum(dim=1)  # (N,)
    return reduce_rois(values, weights=weights, normalizer=normalizer)
