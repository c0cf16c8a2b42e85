"""One stage of the mask branch, parts of which are computed twice to save memory."""

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
"""RoIs that are computed together."""


class MaskStage(nn.Module):
    """The modules of one stage.

    pooler: of the mask head
    head: the mask head
    boundary: the boundary branch, or None
    fine_pooler: pools for the boundary branch, from the finest map at twice the resolution
    """

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
        """Input of the predictor, and features of the boundary branch (None without one).

        features: the levels of the neck
        rois: (K, 5) image index and box
        mask_features: (K, C, P, P), as both results
        """
        if self.boundary is None:
            return mask_features, None
        entered = recomputed(partial(self._entered, features), rois, mask_features)
        boundary = self.boundary(entered)
        return recomputed(self.boundary.fused, mask_features, boundary), boundary

    def _entered(self, features: Sequence[Tensor], rois: Tensor, mask_features: Tensor) -> Tensor:
        """Input of the boundary branch: mask features, and the finest map pooled at ``rois`` (K, 5)."""
        assert self.boundary is not None
        finest = torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
        return self.boundary.entered(mask_features, self.fine_pooler(features, rois, finest))


def recomputed(part: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """``part(first, second)``, computed for some RoIs at a time and again in the backward pass.

    first, second: (K, ...)

    This is for RoIs at twice the resolution, which are cheap to compute but have four times the cells of
    everything else here, and for sums that would be kept only for a convolution's gradient.
    """
    chunks = zip(first.split(RECOMPUTED_ROIS), second.split(RECOMPUTED_ROIS), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([part(*chunk) for chunk in chunks])
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    return torch.cat([checkpoint(part, *chunk, **options) for chunk in chunks])
