"""RoIAlign (He et al., ICCV 2017, arXiv 1703.06870) over the levels of a feature pyramid."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

STRIDES = (4, 8, 16, 32)
"""Pixels a cell of P2 to P5, the levels that RoIs are pooled from."""


class RoiPooler(nn.Module):
    """Pools each RoI from a level that the caller chooses.

    size: bins a side. sampling_ratio: samples a bin and side, 0 adapts to the RoI. aligned: with the
    half-pixel shift.
    """

    def __init__(self, size: int, *, sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.size, self.sampling_ratio, self.aligned = size, sampling_ratio, aligned

    def forward(self, features: Sequence[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """Features (K, C, size, size).

        features: P2 to P5, each (B, C, H, W). rois: (K, 5) photo index and box xyxy. levels: (K,)
        int64, 0 the finest. K = 0 gives (0, C, size, size) that keeps the graph.
        """
        pooled, places = [], []
        for level, (feature, stride) in enumerate(zip(features, STRIDES, strict=True)):
            inside = (levels == level).nonzero().squeeze(1)
            boxes = rois[inside].to(feature.dtype)
            pooled.append(
                roi_align(feature, boxes, self.size, 1 / stride, self.sampling_ratio, self.aligned)
            )
            places.append(inside)
        return torch.cat(pooled)[torch.cat(places).argsort()]
