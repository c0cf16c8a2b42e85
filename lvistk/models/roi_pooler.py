"""RoIAlign (He et al., ICCV 2017, arXiv 1703.06870) over the levels of a feature pyramid."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from lvistk.losses.reduction import full_precision
from lvistk.models.deform_roi_pool import deform_roi_pool

STRIDES = (4, 8, 16, 32)
"""Pixels per cell of P2 to P5, the levels that RoIs are pooled from."""


class RoiPooler(nn.Module):
    """Pools each RoI from a level that the caller chooses.

    size: bins per side. sampling_ratio: samples per bin and side, 0 adapts to the RoI. aligned: with the
    half-pixel shift.
    """

    def __init__(self, size: int, *, sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.size, self.sampling_ratio, self.aligned = size, sampling_ratio, aligned

    def forward(self, features: Sequence[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """Features (K, C, size, size).

        features: P2 to P5, each (B, C, H, W). rois: (K, 5) image index and box xyxy. levels: (K,)
        int64, 0 the finest. K = 0 gives (0, C, size, size) that keeps the graph.
        """
        if self.aligned and self.sampling_ratio > 0 and rois.device.type == "cpu":
            # The same values and gradients in a quarter of torchvision's time (docs/benchmarks.md).
            return deform_roi_pool(
                features,
                rois,
                levels=levels,
                strides=STRIDES,
                output_size=self.size,
                sampling_ratio=self.sampling_ratio,
            )
        return self.pool_by_level(features, rois, levels)

    def pool_by_level(self, features: Sequence[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """``forward`` by torchvision's operator, level after level; waits for the device once."""
        order = levels.argsort(stable=True)  # (K,)
        numbers = torch.stack([(levels == level).sum() for level in range(len(STRIDES))]).tolist()
        pooled = []
        for feature, stride, inside in zip(features, STRIDES, order.split(numbers), strict=True):
            part = roi_align(
                full_precision(feature),  # boxes in half precision would be off by pixels
                rois[inside].to(full_precision(feature[:0]).dtype),
                self.size,
                1 / stride,
                self.sampling_ratio,
                self.aligned,
            )
            pooled.append(part.to(feature.dtype))
        return torch.cat(pooled)[order.argsort()]
