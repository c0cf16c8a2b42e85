"""Region proposal network (Ren et al., NeurIPS 2015, arXiv 1506.01497).

Proposals need every position, but carry no gradient; the losses need 256 anchors per image. So the
dense pass runs without a graph, and the 3x3 convolution is computed again, with a graph, at the
sampled anchors alone: the same gradients at a fraction of the backward pass and of its memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from lvistk.config.model import RpnSettings
from lvistk.distributed import mean_over_ranks
from lvistk.losses.box import smooth_l1_loss
from lvistk.losses.reduction import full_precision, reduce_rois
from lvistk.models import box_coder
from lvistk.models.anchors import level_anchors
from lvistk.models.matcher import match, overlaps_any
from lvistk.models.mixed_sizes import is_mixed, own_cells
from lvistk.models.sampling import Sample, sample
from lvistk.structures.targets import Targets

STRIDES = (4, 8, 16, 32, 64)
UNIT_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


class Proposals(NamedTuple):
    """Proposals of one image, best first.

    boxes: (P, 4).
    logits: (P,) objectness.
    """

    boxes: Tensor
    logits: Tensor


class RegionProposalNetwork(nn.Module):
    """One 3x3 convolution and two 1x1 predictors, shared by all levels.

    missing_iou: anchors with at least this IoU to a missing annotation are no negatives.
    """

    def __init__(self, channels: int, settings: RpnSettings, *, missing_iou: float) -> None:
        super().__init__()
        self.settings = settings
        self.missing_iou = missing_iou
        self.ratios = len(settings.aspect_ratios)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, self.ratios, 1)
        self.deltas = nn.Conv2d(channels, 4 * self.ratios, 1)
        for conv in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)  # pyright: ignore[reportArgumentType]  # built with a bias

    def anchors(self, features: Sequence[Tensor]) -> list[Tensor]:
        """(H * W * A, 4) of each level."""
        return [
            level_anchors(
                feature.shape[-2:],
                strides=self._strides(features[0], feature, stride),
                size=size,
                settings=self.settings,
                device=feature.device,
            )
            for feature, stride, size in zip(
                features, STRIDES, self.settings.anchor_sizes, strict=True
            )
        ]

    def _strides(self, finest: Tensor, feature: Tensor, stride: int) -> tuple[int, int]:
        """Pixels (y, x) between anchors of a map, of which P2 is the finest."""
        if not self.settings.fitted_strides:
            return stride, stride
        height, width = (STRIDES[0] * side for side in finest.shape[-2:])
        return height // feature.shape[-2], width // feature.shape[-1]

    @torch.no_grad()
    def propose(
        self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]], *, training: bool
    ) -> list[Proposals]:
        """Best boxes of each image after NMS within levels; how many, settings say for each phase.

        features: P2 to P6. sizes: (height, width) of each image, to which boxes are cut.
        """
        settings = self.settings
        before = settings.pre_nms_train if training else settings.pre_nms_test
        after = settings.post_nms_train if training else settings.post_nms_test
        cells = self._own_cells(features, sizes)
        levels = [
            self._best_of_level(feature, anchors, own, number=before)
            for feature, anchors, own in zip(features, self.anchors(features), cells, strict=True)
        ]
        boxes = torch.cat([level.boxes for level in levels], dim=1)  # (B, K, 4)
        logits = torch.cat([level.logits for level in levels], dim=1)  # (B, K)
        numbers = torch.cat(
            [
                torch.full(level.logits.shape[1:], index, device=logits.device)
                for index, level in enumerate(levels)
            ]
        )
        return [
            self._suppress(box_coder.clip(b, size), score, numbers, number=after)
            for b, score, size in zip(boxes, logits, sizes, strict=True)
        ]

    def _own_cells(
        self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor | None]:
        """Cells (B, H, W) of each level that images alone would have; None where they have all."""
        shape = [STRIDES[0] * side for side in features[0].shape[-2:]]
        if not is_mixed(sizes, shape):
            return [None] * len(features)
        return [
            own_cells(sizes, feature.shape[-2:], stride=stride, device=feature.device)
            for feature, stride in zip(features, STRIDES, strict=True)
        ]

    def _best_of_level(
        self, feature: Tensor, anchors: Tensor, own: Tensor | None, *, number: int
    ) -> Proposals:
        """Boxes (B, K, 4) and logits (B, K) of the ``number`` highest logits of each image.

        own: (B, H, W) the cells that count, none for all.
        """
        if own is not None:
            feature = feature * own[:, None]
        hidden = self.conv(feature).relu_()
        logits = self.objectness(hidden).permute(0, 2, 3, 1)  # (B, H, W, A)
        if own is not None:
            logits = logits.masked_fill(~own[..., None], -torch.inf)
        logits = logits.flatten(1)  # (B, H * W * A)
        deltas = self.deltas(hidden).permute(0, 2, 3, 1).reshape(len(hidden), -1, 4)
        logits, best = full_precision(logits).topk(min(number, logits.shape[1]), dim=1)
        deltas = deltas.gather(1, best[..., None].expand(-1, -1, 4))  # (B, K, 4)
        boxes = box_coder.decode(
            deltas.flatten(0, 1), anchors[best.flatten()], weights=UNIT_WEIGHTS
        )
        return Proposals(boxes.view(*best.shape, 4), logits)

    def _suppress(self, boxes: Tensor, logits: Tensor, levels: Tensor, *, number: int) -> Proposals:
        width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(dim=1)
        full = (width > 0) & (height > 0) & boxes.isfinite().all(dim=1) & logits.isfinite()
        rows = full.nonzero().squeeze(
            1
        )  # looked up once: each boolean index would wait for the device
        boxes, logits, levels = boxes[rows], logits[rows], levels[rows]
        kept = batched_nms(boxes, logits, levels, self.settings.nms_iou)[:number]
        return Proposals(boxes[kept], logits[kept])

    def losses(
        self,
        features: Sequence[Tensor],
        targets: Sequence[Targets],
        *,
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """Objectness and box loss of the sampled anchors, each divided by their number."""
        level_boxes = self.anchors(features)
        anchors = torch.cat(level_boxes)
        samples, gts, weights = [], [], []
        for target, generator in zip(targets, generators, strict=True):
            chosen, matched = self._sample(anchors, target, generator)
            samples.append(chosen)
            gts.append(_matched_boxes(anchors, chosen, matched, target))
            weights.append(_weights(chosen, matched, target))
        indices = torch.stack([chosen.indices for chosen in samples])  # (B, S)
        valid = torch.stack([chosen.valid for chosen in samples])
        logits, deltas = self._at(features, indices)
        positives = samples[0].positives
        weight = torch.stack(weights)  # (B, S)
        count = mean_over_ranks(valid.sum().float())
        is_positive = torch.zeros_like(logits)
        is_positive[:, :positives] = 1
        objectness = F.binary_cross_entropy_with_logits(logits, is_positive, reduction="none")
        chosen_anchors = anchors[indices[:, :positives]].flatten(0, 1)
        return {
            "rpn_objectness": reduce_rois(
                objectness.flatten(), weights=weight.flatten(), normalizer=count
            ),
            "rpn_box": smooth_l1_loss(
                deltas[:, :positives].flatten(0, 1),
                box_coder.encode(torch.cat(gts), chosen_anchors, weights=UNIT_WEIGHTS),
                beta=self.settings.smooth_l1_beta,
                weights=weight[:, :positives].flatten(),
                normalizer=count,
            ),
        }

    @torch.no_grad()
    def _sample(
        self, anchors: Tensor, target: Targets, generator: torch.Generator
    ) -> tuple[Sample, Tensor]:
        """Anchors to learn from, and the instance that each entry for positives is matched to (P,)."""
        settings = self.settings
        matches = match(anchors, target.boxes)
        positive = (matches.iou >= settings.iou_positive) | matches.is_best
        negative = ~positive & (matches.iou < settings.iou_negative)
        if settings.ignore_missing:
            negative &= ~overlaps_any(anchors, target.ignore_boxes, iou=self.missing_iou)
        chosen = sample(
            positive,
            negative,
            number=settings.batch_per_image,
            positive_fraction=settings.positive_fraction,
            generator=generator,
        )
        return chosen, matches.gt[chosen.indices[: chosen.positives]]

    def _at(self, features: Sequence[Tensor], indices: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, S) and deltas (B, S, 4) at anchors ``indices (B, S)``, counted over levels."""
        position, ratio = indices // self.ratios, indices % self.ratios  # (B, S)
        patches = _patches(features, position)  # (B, S, C * 9)
        hidden = F.linear(patches, self.conv.weight.flatten(1), self.conv.bias).relu()
        logits = F.linear(hidden, self.objectness.weight.flatten(1), self.objectness.bias)
        deltas = F.linear(hidden, self.deltas.weight.flatten(1), self.deltas.bias)
        deltas = deltas.unflatten(2, (self.ratios, 4))  # (B, S, A, 4)
        logits = logits.gather(2, ratio[..., None]).squeeze(2)
        deltas = deltas.gather(2, ratio[..., None, None].expand(-1, -1, 1, 4)).squeeze(2)
        return full_precision(logits), deltas


def _matched_boxes(anchors: Tensor, chosen: Sample, matched: Tensor, target: Targets) -> Tensor:
    """The ground truth box (P, 4) of each entry for positives; its anchor where the entry is invalid."""
    first = chosen.indices[: chosen.positives]
    if not len(target):
        return anchors[first]
    valid = chosen.valid[: chosen.positives, None]
    return torch.where(valid, target.boxes[matched], anchors[first])


def _weights(chosen: Sample, matched: Tensor, target: Targets) -> Tensor:
    """Loss weight (S,) of each entry: the image's, for a positive times its instance's; 0 where invalid."""
    weights = chosen.valid * target.loss_weight
    if target.weights is None or not len(target):
        return weights
    return torch.cat(
        [weights[: chosen.positives] * target.weights[matched], weights[chosen.positives :]]
    )


def _patches(features: Sequence[Tensor], position: Tensor) -> Tensor:
    """3x3 neighbourhoods (B, S, C * 9) of positions (B, S), counted row by row, level by level.

    What lies beyond a map's border is zero, as for a padded convolution.
    """
    patches, start = None, 0
    step = torch.arange(-1, 2, device=position.device)
    for feature in features:
        height, width = feature.shape[-2:]
        local = position - start  # (B, S)
        start += height * width
        y = (local // width)[..., None, None] + step[:, None]  # (B, S, 3, 1)
        x = (local % width)[..., None, None] + step  # (B, S, 1, 3)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)  # (B, S, 3, 3)
        inside &= ((local >= 0) & (local < height * width))[..., None, None]
        cells = (y * width + x).clamp(0, height * width - 1).flatten(1)  # (B, S * 9)
        channels = feature.shape[1]
        values = feature.flatten(2).gather(2, cells[:, None].expand(-1, channels, -1))
        values = values * inside.flatten(1)[:, None]  # (B, C, S * 9)
        patches = values if patches is None else patches + values
    assert patches is not None
    return patches.unflatten(2, (-1, 9)).transpose(1, 2).flatten(2)
