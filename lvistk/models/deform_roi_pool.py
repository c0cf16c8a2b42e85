"""Deformable RoI pooling (arXiv 1703.06211, section 2.2; v2 arXiv 1811.11168): RoIAlign whose bins move.

Offsets are predicted from a first, rigid pooling. At the start they are zero, and the pooling is
RoIAlign.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lvistk.models.bilinear_bags import average_samples, cell_table, per_level

GAMMA = 0.1  # offsets are in tenths of the RoI's sides, both papers


def deform_roi_pool(
    features: Sequence[Tensor],
    rois: Tensor,
    offsets: Tensor | None = None,
    *,
    levels: Tensor,
    strides: Sequence[int],
    output_size: int,
    sampling_ratio: int = 2,
    max_ratio: int = 0,
) -> Tensor:
    """Pool each RoI from its level, its bins shifted by offsets.

    features: L maps (B, C, H_l, W_l); further ones are ignored. rois: (R, 5) image index and box
        xyxy in pixels of the network input.
    offsets: (R, 2, P, P) shift of each bin along x and y, in units of GAMMA times the RoI's width
        and height; none is RoIAlign with the half-pixel shift.
    levels: (R,) int64 in 0..L-1. strides: pixels per cell, of each level. output_size: P.
    sampling_ratio: samples per bin and side.
    max_ratio: where it is larger, the samples of a side are doubled until they lie at most two cells
        apart, so that no line of cells falls between them, or are max_ratio. Waits for the device.

    Returns (R, C, P, P), in the dtype of the features; R = 0 keeps the graph. Differentiable in
        features and offsets.
    """
    scale = per_level(levels, [1 / stride for stride in strides], dtype=rois.dtype)
    boxes = rois[:, 1:] * scale[:, None] - 0.5  # (R, 4) in cells
    if offsets is not None:
        sides = (boxes[:, 2:] - boxes[:, :2])[:, :, None, None]
        offsets = GAMMA * sides * offsets  # in cells
    table = cell_table(features[: len(strides)])
    images = rois[:, 0].long()

    def pool(chosen: Tensor | slice, samples: tuple[int, int]) -> Tensor:
        x, y = _positions(
            boxes[chosen], None if offsets is None else offsets[chosen], output_size, samples
        )
        return average_samples(table, images=images[chosen], levels=levels[chosen], x=x, y=y)

    if max_ratio <= sampling_ratio:
        pooled = pool(slice(None), (sampling_ratio, sampling_ratio))  # (R, P * P, C)
    else:
        groups = _groups_by_samples(boxes, output_size, first=sampling_ratio, most=max_ratio)
        pooled = torch.cat([pool(chosen, samples) for samples, chosen in groups])
        pooled = pooled[torch.cat([chosen for _, chosen in groups]).argsort()]
    pooled = pooled.transpose(1, 2).unflatten(2, (output_size, output_size))  # (R, C, P, P)
    return pooled.to(features[0].dtype)


def _positions(
    boxes: Tensor, shift: Tensor | None, size: int, samples: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """x and y (R, P * P, s_x * s_y) of the samples of boxes (R, 4) whose bins move by shift (R, 2, P, P)."""
    left, top, right, bottom = boxes.unbind(dim=1)
    x = _sample_positions(left, right - left, size=size, samples=samples[0])[:, None, :, None, :]
    y = _sample_positions(top, bottom - top, size=size, samples=samples[1])[:, :, None, :, None]
    if shift is not None:
        shift_x, shift_y = shift[..., None, None].unbind(dim=1)
        x, y = x + shift_x, y + shift_y
    grid = (len(boxes), size, size, samples[1], samples[0])
    flat = (len(boxes), size**2, samples[0] * samples[1])
    return x.expand(grid).reshape(flat), y.expand(grid).reshape(flat)


@torch.no_grad()
def _groups_by_samples(
    boxes: Tensor, size: int, *, first: int, most: int
) -> list[tuple[tuple[int, int], Tensor]]:
    """RoIs (indices) that take equal numbers of samples along x and y, at least one group.

    boxes: (R, 4) in cells. first: the smallest number, which is doubled up to most.
    """
    ratios = [first]
    while ratios[-1] < most:
        ratios.append(min(2 * ratios[-1], most))
    cells = (boxes[:, 2:] - boxes[:, :2]) / size  # (R, 2) per bin
    step = torch.zeros_like(cells, dtype=torch.int64)  # (R, 2) index into ratios
    for ratio in ratios[:-1]:
        step += cells > 2 * ratio
    group = step[:, 0] * len(ratios) + step[:, 1]
    kinds = torch.arange(len(ratios) ** 2, device=boxes.device)
    numbers = (group[:, None] == kinds).sum(dim=0).tolist()  # the one wait for the device
    parts = group.argsort(stable=True).split(numbers)
    pairs = [(x, y) for x in ratios for y in ratios]
    groups = [(pair, part) for pair, part in zip(pairs, parts, strict=True) if len(part)]
    return groups or [(pairs[0], parts[0])]


def _sample_positions(start: Tensor, side: Tensor, *, size: int, samples: int) -> Tensor:
    """(R, P, s) sample positions along one axis, in cells, summed in RoIAlign's order to agree with it."""
    step = (side / size)[:, None, None]
    bins = torch.arange(size, device=start.device)[:, None]
    within = (torch.arange(samples, device=start.device) + 0.5)[None, :]
    return start[:, None, None] + bins * step + within * step / samples


class DeformRoIPool(nn.Module):
    """Deformable RoI pooling of a feature pyramid with given levels, in place of a RoI pooler.

    Offsets come from a rigid pooling of offset_size bins per side by fully connected layers, and are
    upsampled to output_size (ours: from 14 x 14 bins the first layer alone would have 51 M
    weights). The last layer starts at zero.

    max_ratio: most samples per bin and side, see `deform_roi_pool`.
    modulated: v2, which also weighs each bin. The weight is 2 * sigmoid, so that it starts at 1
        (ours: v2 has sigmoid, and starts at a half).
    """

    def __init__(
        self,
        channels: int,
        output_size: int,
        *,
        strides: Sequence[int],
        max_ratio: int = 8,
        modulated: bool = False,
        offset_size: int = 7,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        self.output_size, self.offset_size = output_size, offset_size
        self.strides = tuple(strides)
        self.max_ratio, self.modulated = max_ratio, modulated
        last = nn.Linear(hidden, (3 if modulated else 2) * offset_size**2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.offsets = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * offset_size**2, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            last,
        )

    def forward(self, features: Sequence[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """(R, C, P, P) of L maps (B, C, H_l, W_l), rois (R, 5) and levels (R,), see `deform_roi_pool`."""
        rigid = deform_roi_pool(
            features,
            rois,
            levels=levels,
            strides=self.strides,
            output_size=self.offset_size,
            max_ratio=self.max_ratio,
        )
        predicted = self.offsets(rigid).unflatten(1, (-1, self.offset_size, self.offset_size))
        if self.output_size != self.offset_size:
            predicted = F.interpolate(predicted, size=self.output_size, mode="bilinear")
        shifted = partial(
            deform_roi_pool,
            levels=levels,
            strides=self.strides,
            output_size=self.output_size,
            max_ratio=self.max_ratio,
        )
        offsets = predicted[:, :2].to(rois.dtype)
        if torch.is_grad_enabled():
            # Cheap to compute again, and large to keep: the features as a table, four weights a sample.
            pooled = checkpoint(
                shifted, features, rois, offsets, use_reentrant=False, preserve_rng_state=False
            )
        else:
            pooled = shifted(features, rois, offsets)
        if self.modulated:
            pooled = pooled * (2 * predicted[:, 2:].sigmoid()).to(pooled.dtype)
        return pooled
