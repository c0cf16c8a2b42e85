"""Twins of the boundary branch and the mask IoU head: the papers' steps, from a plain dict of weights."""

import torch
from torch import Tensor
from torch.nn import functional as F


def branch(
    weights: dict[str, Tensor], mask: Tensor, fine: Tensor, labels: list[int]
) -> tuple[Tensor, Tensor]:
    """Fused mask features (K, C, M, M) and boundary logits (K, 2M, 2M)."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        padding = weight.shape[-1] // 2
        return F.conv2d(x, weight, weights[f"{name}.bias"], stride, padding)

    edges = conv(fine, "downsample", 2).clamp(min=0)
    edges = edges + conv(mask, "mask_to_boundary").clamp(min=0)
    edges = conv(edges, "convs.0").clamp(min=0)
    edges = conv(edges, "convs.1").clamp(min=0)
    fused = conv(conv(edges, "boundary_to_mask") + mask, "fusion").clamp(min=0)
    up = F.conv_transpose2d(edges, weights["deconv.weight"], weights["deconv.bias"], stride=2)
    every = conv(up.clamp(min=0), "predictor")
    return fused, torch.stack([every[k, label] for k, label in enumerate(labels)])


def mask_iou(weights: dict[str, Tensor], roi: Tensor, logits: Tensor, labels: list[int]) -> Tensor:
    """Predicted IoU (K,)."""
    rows = []
    for k, label in enumerate(labels):
        side = logits.shape[1] // 2
        mask = torch.zeros(1, side, side, dtype=logits.dtype)
        for i in range(side):
            for j in range(side):
                mask[0, i, j] = logits[k, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max().sigmoid()
        x = torch.cat([roi[k], mask])[None]
        for index, stride in enumerate((1, 1, 1, 2)):
            name = f"convs.{index}"
            x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, 1)
            x = x.clamp(min=0)
        x = x.flatten()
        for name in ("fcs.1", "fcs.3"):
            x = (weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]).clamp(min=0)
        row = weights["predictor.weight"][label].flatten() @ x
        rows.append(row + weights["predictor.bias"][label])
    return torch.stack(rows)
