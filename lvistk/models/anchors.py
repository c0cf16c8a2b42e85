"""Anchors of every level (Faster R-CNN, arXiv 1506.01497)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lvistk.config.model import RpnSettings


def base_anchors(size: float, settings: RpnSettings) -> Tensor:
    """Anchors (A, 4) around the origin: one per ratio (height over width) of area ``size`` squared."""
    ratios = torch.tensor(settings.aspect_ratios)
    height = size * ratios.sqrt()
    width = size / ratios.sqrt()
    anchors = torch.stack([-width, -height, width, height], dim=1) / 2  # (A, 4)
    return anchors.round() if settings.rounded_anchors else anchors


def level_anchors(
    shape: Sequence[int],
    *,
    strides: tuple[int, int],
    size: float,
    settings: RpnSettings,
    device: torch.device,
) -> Tensor:
    """Anchors (H * W * A, 4) of a map of ``shape`` (H, W): centres at whole multiples of ``strides`` (y, x).

    The order is row, column, ratio.
    """
    height, width = shape
    y = torch.arange(height, device=device, dtype=torch.float32) * strides[0]
    x = torch.arange(width, device=device, dtype=torch.float32) * strides[1]
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    centers = torch.stack([grid_x, grid_y, grid_x, grid_y], dim=-1).view(-1, 1, 4)  # (H * W, 1, 4)
    base = base_anchors(size, settings).to(device, non_blocking=True)
    return (centers + base).view(-1, 4)
