"""Which ground truth instance a box overlaps best."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

CHUNK_ELEMENTS = 2**23
"""Largest part of the IoU matrix that is held at once, 32 MB: images of 300 ground truth instances and
270,000 anchors exist."""


class Matches(NamedTuple):
    """The ground truth instance that each of N boxes overlaps best.

    iou: (N,) IoU with it, 0 to 1.
    gt: (N,) int64 its index; 0 without ground truth.
    is_best: (N,) bool, whether no other box overlaps some ground truth instance more.
    """

    iou: Tensor
    gt: Tensor
    is_best: Tensor


@torch.no_grad()
def match(boxes: Tensor, gt_boxes: Tensor) -> Matches:
    """Match boxes (N, 4) with ``gt_boxes (G, 4)``. Without ground truth instances every IoU is 0."""
    iou = boxes.new_zeros(len(boxes))
    gt = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    is_best = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    step = max(1, CHUNK_ELEMENTS // max(len(boxes), 1))
    for start in range(0, len(gt_boxes) if len(boxes) else 0, step):
        # Two boxes without area have no IoU.
        overlaps = box_iou(boxes, gt_boxes[start : start + step]).nan_to_num_()  # (N, step)
        values, indices = overlaps.max(dim=1)
        better = values > iou
        iou = torch.where(better, values, iou)
        gt = torch.where(better, indices + start, gt)
        highest = overlaps.amax(dim=0)  # (step,)
        is_best |= ((overlaps == highest) & (highest > 0)).any(dim=1)
    return Matches(iou, gt, is_best)


@torch.no_grad()
def overlaps_any(boxes: Tensor, others: Tensor, *, iou: float) -> Tensor:
    """(N,) bool: boxes (N, 4) with at least this IoU to one of ``others (I, 4)``."""
    if not len(others):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    return match(boxes, others).iou >= iou
