"""Mask scoring (Huang et al., CVPR 2019, arXiv 1903.00241): targets and loss of a mask's IoU."""

import torch
from torch import Tensor

from lvistk.losses.reduction import divide_by_count, full_precision


@torch.no_grad()
def mask_iou_targets(logits: Tensor, targets: Tensor, *, whole_areas: Tensor) -> Tensor:
    """IoU of each binarised prediction with the whole instance, which the RoI may cut off.

    logits: (N, M, M) mask logits of the RoI's category; foreground is probability .5 or more
    targets: (N, M, M) the ground truth inside the RoI, in [0, 1] or bool; foreground is .5 or more
    whole_areas: (N,) area of the whole instance in mask pixels, from `areas_in_mask_pixels`; where
        rasterisation makes the part inside larger than the whole, the part counts

    Returns (N,) in [0, 1]; 0 where the union is empty.
    """
    predicted = (logits >= 0).flatten(1)  # (N, M * M)
    inside = (targets >= 0.5).flatten(1)
    intersection = (predicted & inside).sum(dim=1)
    whole = torch.maximum(whole_areas.to(torch.float32), inside.sum(dim=1).float())
    return intersection / (predicted.sum(dim=1) + whole - intersection).clamp(min=1)


def areas_in_mask_pixels(areas: Tensor, boxes: Tensor, *, mask_size: int) -> Tensor:
    """(N,) instance areas in pixels of a mask_size x mask_size grid laid over each box.

    areas: (N,) in the pixels of boxes (N, 4), xyxy. A box without area gives 0.
    """
    width, height = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).unbind(dim=1)
    box_areas = width * height  # (N,)
    return torch.where(box_areas > 0, areas * mask_size**2 / box_areas.clamp(min=1e-6), 0.0)


def mask_iou_loss(
    predicted: Tensor,
    targets: Tensor,
    *,
    weights: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Half the squared error, averaged over the RoIs whose target is positive.

    The paper names an L2 loss; .5 d^2 is what the published code of Mask Scoring R-CNN computes.

    predicted: (N,), the predicted IoU of the RoI's own category
    targets: (N,) in [0, 1]
    weights: (N,) factor of each RoI, its image's loss weight
    normalizer: 0-d count of positive targets; default that of this call

    Returns a 0-d loss in [0, inf); zero with a graph if no target is positive.
    """
    predicted = full_precision(predicted)
    positive = targets > 0
    values = 0.5 * (predicted - targets.to(predicted.dtype)).square() * positive  # (N,)
    if weights is not None:
        values = values * weights
    count = positive.sum() if normalizer is None else normalizer
    return divide_by_count(values.sum(), count)
