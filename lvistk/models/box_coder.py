"""Boxes as deltas relative to other boxes (R-CNN, arXiv 1311.2524, appendix C)."""

import math

import torch
from torch import Tensor

Weights = tuple[float, float, float, float]

MAX_LOG_RATIO = math.log(1000 / 16)
"""Largest log size ratio that is decoded, against overflow: detectron2's and torchvision's."""


def encode(gt: Tensor, boxes: Tensor, *, weights: Weights) -> Tensor:
    """Deltas (N, 4) that turn ``boxes (N, 4)`` into ``gt (N, 4)``.

    dx = wx (x_t - x) / w, dy alike, dw = ww log(w_t / w), dh alike; x, y are centres.
    """
    center, size = _centers(boxes.float())
    true_center, true_size = _centers(gt.float())
    size, true_size = size.clamp(min=1e-3), true_size.clamp(min=1e-3)
    shift = (true_center - center) / size
    ratio = (true_size / size).log()
    return torch.cat([shift, ratio], dim=-1) * _weight_row(weights, boxes.device)


def decode(deltas: Tensor, boxes: Tensor, *, weights: Weights) -> Tensor:
    """Boxes (N, ..., 4) that ``deltas (N, ..., 4)`` make of ``boxes (N, 4)``, in float32."""
    deltas = deltas.float() / _weight_row(weights, deltas.device)
    while boxes.dim() < deltas.dim():
        boxes = boxes.unsqueeze(-2)
    center, size = _centers(boxes.float())
    center = center + deltas[..., :2] * size
    half = size * deltas[..., 2:].clamp(max=MAX_LOG_RATIO).exp() / 2
    return torch.cat([center - half, center + half], dim=-1)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut to an image of ``size`` (height, width)."""
    height, width = size
    x = boxes[..., 0::2].clamp(0, width)
    y = boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def _centers(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size


def _weight_row(weights: Weights, device: torch.device) -> Tensor:
    row = torch.tensor(weights, dtype=torch.float32)
    return row.to(device, non_blocking=True)
