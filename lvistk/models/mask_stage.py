"""One stage of the mask branch, and what of it is computed twice to save memory."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lvistk.models.boundary_head import BoundaryBranch
from lvistk.models.mask_head import MaskHead
from lvistk.models.roi_pooler import RoiPooler

RECOMPUTED_ROIS = 32
"""RoIs that are computed again at once."""


class MaskStage(nn.Module):
    """What one stage has of its own: a pooler, a mask head and, with boundary supervision, the
    boundary branch and its pooling from the finest map at twice the resolution."""

    def __init__(
        self,
        *,
        pooler: nn.Module,
        head: MaskHead,
        boundary: BoundaryBranch | None,
        fine_pooler: RoiPooler,
    ) -> None:
        super().__init__()
        self.pooler = pooler
        self.head = head
        self.boundary = boundary
        self.fine_pooler = fine_pooler

    def fused(
        self, features: Sequence[Tensor], rois: Tensor, mask_features: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Mask features as the predictor wants them, and those of the boundary branch, if there is one.

        rois: (K, 5). mask_features and both results: (K, C, P, P).
        """
        if self.boundary is None:
            return mask_features, None
        entered = recomputed(partial(self._entered, features), rois, mask_features)
        boundary = self.boundary(entered)
        return recomputed(self.boundary.fused, mask_features, boundary), boundary

    def _entered(self, features: Sequence[Tensor], rois: Tensor, mask_features: Tensor) -> Tensor:
        """What the boundary branch starts from: ``rois (K, 5)`` of the finest map, and the mask's own."""
        assert self.boundary is not None
        finest = torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
        return self.boundary.entered(mask_features, self.fine_pooler(features, rois, finest))


def recomputed(part: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """``part(first, second)`` of (K, ...) each, some RoIs at a time, computed again in the backward pass.

    For what is cheap but has four times the cells of everything else here, RoIs at twice the resolution,
    and for sums that are kept only for a convolution's gradient.
    """
    chunks = zip(first.split(RECOMPUTED_ROIS), second.split(RECOMPUTED_ROIS), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([part(*chunk) for chunk in chunks])
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    return torch.cat([checkpoint(part, *chunk, **options) for chunk in chunks])
