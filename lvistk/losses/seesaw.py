"""Seesaw loss (Wang et al., CVPR 2021, arXiv 2008.10032): softmax with negatives re-scaled by pair.

C + 2 channels: C categories, then foreground, then background. Only foreground RoIs enter the
softmax over categories; a two-way softmax tells foreground from background.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision, reduce_rois

MIN_PROBABILITY = 1e-2  # floor of the true category's probability in the compensation factor


class SampleCounts(nn.Module):
    """How many RoIs of each category training has sampled so far.

    A step adds `sampled_counts(labels)`, which a distributed caller first sums over ranks, then
    computes the loss with `counts`. A buffer, so it moves, is saved and is resumed with the model.
    """

    def __init__(self, num_categories: int) -> None:
        super().__init__()
        self.counts: Tensor
        self.register_buffer("counts", torch.zeros(num_categories, dtype=torch.int64))

    def add(self, counts: Tensor) -> None:
        """Add (C,) counts of one step, in place."""
        self.counts += counts


def sampled_counts(labels: Tensor, *, num_categories: int) -> Tensor:
    """(C,) int64: RoIs of each category among labels (N,) in 0..C."""
    counts = torch.zeros(num_categories + 1, dtype=torch.int64, device=labels.device)
    return counts.index_add_(0, labels, torch.ones_like(labels))[:-1]


def seesaw_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    counts: Tensor,
    p: float = 0.8,
    q: float = 2.0,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of foreground against background, plus that of categories for foreground RoIs.

    A RoI of category i sees category j's logit raised by log(M_ij C_ij):
    mitigation M_ij = min(1, (N_j / N_i)^p) spares categories rarer than i;
    compensation C_ij = max(1, (s_j / s_i)^q) takes that back where the RoI is misclassified as j.

    logits: (N, C + 2)
    labels: (N,) in 0..C, C is background
    counts: (C,) sampled RoIs so far, this step's included. p, q: the paper's exponents; 0 turns a
        factor off.
    weights, normalizer: see `reduction.reduce_rois`; both terms are divided by the count of all
        RoIs

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    logits = full_precision(logits)
    categories, objectness = logits[:, :-2], logits[:, -2:]  # (N, C), (N, 2)
    num_categories = categories.shape[1]
    background = (labels == num_categories).long()  # (N,)
    own = labels.clamp(max=num_categories - 1)  # background rows are computed, then count zero
    adjusted = categories + _log_seesaw_factors(categories.detach(), own, counts=counts, p=p, q=q)
    values = F.cross_entropy(objectness, background, reduction="none")  # (N,)
    values = values + F.cross_entropy(adjusted, own, reduction="none") * (1 - background)
    return reduce_rois(values, weights=weights, normalizer=normalizer)


def seesaw_scores(logits: Tensor) -> Tensor:
    """Foreground probabilities (N, C): softmax over categories, times that of foreground."""
    logits = full_precision(logits)
    return logits[:, :-2].softmax(dim=1) * logits[:, -2:].softmax(dim=1)[:, :1]


def _log_seesaw_factors(
    logits: Tensor, own: Tensor, *, counts: Tensor, p: float, q: float
) -> Tensor:
    """log(M C) of each RoI (N, C); zero at its own category, where both factors are 1."""
    log_counts = counts.clamp(min=1).to(logits.dtype).log()  # (C,)
    mitigation = p * (log_counts - log_counts[own][:, None]).clamp(max=0)  # (N, C)
    log_scores = logits.log_softmax(dim=1)
    own_scores = log_scores.gather(1, own[:, None]).exp().clamp(min=MIN_PROBABILITY).log()  # (N, 1)
    compensation = q * (log_scores - own_scores).clamp(min=0)
    return mitigation + compensation
