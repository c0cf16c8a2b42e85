"""Deformable pooling by an operator that ONNX has, RoIAlign."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from lvistk.inference.onnx.tracing import merged_rows, rows_where
from lvistk.models.deform_roi_pool import GAMMA, DeformRoIPool
from lvistk.models.roi_pooler import STRIDES, RoiPooler

FIRST_SAMPLES = 2
"""Samples per bin and side of deformable pooling in the smallest bins."""


def pool(pooler: nn.Module, features: Sequence[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
    """What ``pooler(features, rois, levels)`` gives: (K, C, P, P) of rois (K, 5) of one image."""
    if isinstance(pooler, RoiPooler):
        return _pool_levels(pooler, features, rois, levels)
    assert isinstance(pooler, DeformRoIPool)
    rigid = _pool_bins(pooler, features, rois, levels, side=pooler.offset_size, offsets=None)
    channels = 3 if pooler.modulated else 2  # -1 is no number of them where there is no RoI
    shape = (channels, pooler.offset_size, pooler.offset_size)
    predicted = pooler.offsets(rigid).unflatten(1, shape)
    side = pooler.output_size
    if side != pooler.offset_size:
        predicted = F.interpolate(predicted, size=(side, side), mode="bilinear")
    pooled = _pool_bins(pooler, features, rois, levels, side=side, offsets=predicted[:, :2])
    return pooled * (2 * predicted[:, 2:].sigmoid()) if pooler.modulated else pooled


def _pool_levels(
    pooler: RoiPooler, features: Sequence[Tensor], rois: Tensor, levels: Tensor
) -> Tensor:
    """``RoiPooler.pool_by_level``, whose splits by counted numbers a trace would keep for ever."""
    parts, rows = [], []
    for level, (feature, stride) in enumerate(zip(features, STRIDES, strict=True)):
        inside = rows_where(levels == level)
        size, ratio = pooler.size, pooler.sampling_ratio
        parts.append(roi_align(feature, rois[inside], size, 1 / stride, ratio, pooler.aligned))
        rows.append(inside)
    return merged_rows(parts, rows)


def _pool_bins(
    pooler: DeformRoIPool,
    features: Sequence[Tensor],
    rois: Tensor,
    levels: Tensor,
    *,
    side: int,
    offsets: Tensor | None,
) -> Tensor:
    """``deform_roi_pool`` with every bin as an RoI of its own.

    RoIs are taken together that have the same level and the same numbers of samples along x and y.
    """
    bins = _bins(rois, side, offsets)  # (K, side * side, 4)
    steps = [FIRST_SAMPLES]
    while steps[-1] < pooler.max_ratio:
        steps.append(min(2 * steps[-1], pooler.max_ratio))
    strides = torch.tensor(pooler.strides, dtype=rois.dtype)
    cells = (rois[:, 3:] - rois[:, 1:3]) / strides[levels][:, None] / side  # (K, 2) per bin
    limits = torch.tensor([2.0 * step for step in steps[:-1]], dtype=rois.dtype)
    step = (cells[:, :, None] > limits).sum(dim=2)  # (K, 2) index into steps
    parts, rows = [], []
    for level, stride in enumerate(pooler.strides):
        for along_x, x_samples in enumerate(steps):
            for along_y, y_samples in enumerate(steps):
                same = (levels == level) & (step[:, 0] == along_x) & (step[:, 1] == along_y)
                inside = rows_where(same)
                part = _mean_of_samples(
                    features[level], bins[inside], stride, samples=(y_samples, x_samples)
                )  # (k, side * side, C)
                parts.append(part)
                rows.append(inside)
    pooled = merged_rows(parts, rows).transpose(1, 2)  # (K, C, side * side)
    return pooled.unflatten(2, (side, side))


def _bins(rois: Tensor, side: int, offsets: Tensor | None) -> Tensor:
    """Boxes (K, side * side, 4) of the bins of rois (K, 5), moved by offsets (K, 2, side, side)."""
    start, extent = rois[:, 1:3], rois[:, 3:] - rois[:, 1:3]  # (K, 2)
    steps = torch.arange(side, dtype=rois.dtype)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    corner = torch.stack([x, y], dim=-1).view(1, -1, 2)  # (1, side * side, 2)
    size = (extent / side)[:, None]  # (K, 1, 2)
    low = start[:, None] + corner * size
    if offsets is not None:
        moves = offsets.permute(0, 2, 3, 1).reshape(-1, side * side, 2)
        low = low + GAMMA * extent[:, None] * moves
    return torch.cat([low, low + size], dim=2)


def _mean_of_samples(
    feature: Tensor, bins: Tensor, stride: int, *, samples: tuple[int, int]
) -> Tensor:
    """(k, Q, C): mean over ``samples`` (along y and x) of each of Q bins (k, Q, 4)."""
    own = math.gcd(*samples)  # RoIAlign's grid is square; the rest are bins within the bin
    boxes = bins.flatten(0, 1)
    rois = torch.cat([boxes[:, :1] * 0, boxes], dim=1)
    inner = (samples[0] // own, samples[1] // own)
    pooled = roi_align(feature, rois, inner, 1 / stride, own, True)
    return pooled.mean(dim=(2, 3)).view(-1, bins.shape[1], feature.shape[1])
