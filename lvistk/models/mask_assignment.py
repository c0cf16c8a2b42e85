"""Which feature map a mask is pooled from (arXiv 2009.01559, Eq. 1)."""

from typing import Literal

import torch
from torch import Tensor

Assignment = Literal["scale", "fpn", "printed"]


def scale_levels(boxes: Tensor, *, canonical_size: float = 56.0, num_levels: int = 4) -> Tensor:
    """Levels by box scale alone, the usual rule: floor(log2(sqrt(S_box) / canonical_size)).

    boxes: (K, 4) xyxy in pixels of the network input.
    canonical_size: side below twice which a box takes the finest map, 56 px for a short edge of
        800; smaller inputs scale it with their short edge.

    Returns (K,) int64 in 0..num_levels-1, 0 the finest (P2); a box without area gives 0.
    """
    levels = torch.log2(_area(boxes).sqrt() / canonical_size + 1e-6).floor()
    return levels.clamp(0, num_levels - 1).long()


def mask_levels(
    boxes: Tensor,
    area_ratio: Tensor,
    *,
    assignment: Assignment = "fpn",
    canonical_size: float = 56.0,
    num_levels: int = 4,
) -> Tensor:
    """Levels by box scale and by the mask's share of its box (Eq. 1).

    boxes: (K, 4) xyxy in pixels of the network input. area_ratio: (K,) S_mask / S_box, 0 to 1: of
        the matched ground truth in training, of a first prediction or of the category at inference.
    assignment: `fpn`, min(`scale_levels`, floor(4 area_ratio)): a share under .25, .5, .75 caps
        the level at 0, 1, 2. `printed`, min(floor(S_box / canonical_size^2), floor(4 area_ratio)),
        the equation letter by letter: it would send any compact box of 97 px or more to the
        coarsest map, against the paper's own aim, so we take the logarithm and the root to be lost
        in print. `scale`: `scale_levels`, whatever the mask.

    Returns (K,) int64 in 0..num_levels-1.
    """
    scale = scale_levels(boxes, canonical_size=canonical_size, num_levels=num_levels)
    cap = (4 * area_ratio.nan_to_num()).floor().clamp(0, num_levels - 1).long()  # (K,)
    match assignment:
        case "scale":
            return scale
        case "fpn":
            return torch.minimum(scale, cap)
        case "printed":
            printed = (_area(boxes) / canonical_size**2).floor().clamp(0, num_levels - 1)
            return torch.minimum(printed.long(), cap)


def needs_area_ratio(assignment: Assignment) -> bool:
    """Whether the rule's levels depend on the mask's share of its box."""
    return assignment != "scale"


def moved(
    levels: Tensor, boxes: Tensor, *, canonical_size: float = 56.0, num_levels: int = 4
) -> Tensor:
    """(2,) int64: how many of the K RoIs with these levels Eq. 1 moved away from box scale's, and K.

    Two counts rather than their ratio, so that batches and ranks add up.
    """
    scale = scale_levels(boxes, canonical_size=canonical_size, num_levels=num_levels)
    count = (levels != scale).sum()
    return torch.stack([count, torch.full_like(count, len(levels))])


def _area(boxes: Tensor) -> Tensor:
    width, height = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).unbind(dim=1)
    return width * height  # (K,)
