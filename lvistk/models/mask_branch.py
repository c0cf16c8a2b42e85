"""The mask branch: from which levels masks are pooled, how stages follow each other, losses, prediction."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lvistk.config.model import MaskHeadSettings
from lvistk.distributed import mean_over_ranks
from lvistk.losses.boundary import boundary_loss, boundary_targets
from lvistk.losses.mask import balanced_mask_loss, mask_bce_loss
from lvistk.losses.mask_iou import areas_in_mask_pixels, mask_iou_loss, mask_iou_targets
from lvistk.models.mask_assignment import mask_levels, needs_area_ratio, scale_levels
from lvistk.models.mask_iou_head import MaskIouHead
from lvistk.models.mask_stage import MaskStage, recomputed
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class MaskRois(NamedTuple):
    """K RoIs whose masks are computed.

    rois: (K, 5) image index and box
    levels: (K,) int64, level to pool from
    channels: (K,) int64, channel of the predictor
    """

    rois: Tensor
    levels: Tensor
    channels: Tensor

    def at(self, indices: Tensor, levels: Tensor) -> "MaskRois":
        """The RoIs at ``indices`` (J,), pooled from ``levels`` (K,)."""
        return MaskRois(self.rois[indices], levels[indices], self.channels[indices])


class StageFeatures(NamedTuple):
    """Features of K RoIs in one stage, each (K, C, P, P).

    pooled: result of the pooler
    fused: input of the predictor
    boundary: features of the boundary branch; None without one
    """

    pooled: Tensor
    fused: Tensor
    boundary: Tensor | None


class MaskPredictions(NamedTuple):
    """Masks of K RoIs.

    probs: (K, M, M) probabilities of each RoI's category
    iou: (K,) predicted IoU, or None without a mask scoring head. As in published code it is not clipped to
        0 to 1, which would make ties.
    moved: (K,) bool, pooled from another level than box scale alone gives
    """

    probs: Tensor
    iou: Tensor | None
    moved: Tensor


class MaskBranch(nn.Module):
    """One mask stage, or one per cascade stage, where features may flow from each to the next.

    settings: of the mask heads
    stages: at least one
    iou_head: predicts the IoU of the last stage's masks
    canonical_size: see ``ModelSettings``
    area_ratio_prior: (C,) mean of mask area over box area of each category, for
        ``assignment_ratio = "prior"``; 1 changes no level
    """

    def __init__(
        self,
        settings: MaskHeadSettings,
        *,
        stages: Sequence[MaskStage],
        iou_head: MaskIouHead | None,
        canonical_size: float,
        area_ratio_prior: Tensor,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.canonical_size = canonical_size
        self.stages = nn.ModuleList(stages)
        self.iou_head = iou_head
        self.area_ratio_prior: Tensor
        self.register_buffer("area_ratio_prior", area_ratio_prior.float())

    def losses(
        self,
        stage: int,
        features: Sequence[Tensor],
        samples: RoiSamples,
        targets: Sequence[Targets],
    ) -> dict[str, Tensor]:
        """Losses of one stage on the positive RoIs, divided by their number (mean over ranks).

        The level of a RoI follows from the area ratio of its matched ground truth instance (Eq. 1). The
        paper does not say which ratio; we take that of the whole instance, of which the RoI may hold a part.
        """
        positives = samples.only_positives()
        rois = self._training_rois(positives)
        part, masks = self._stage(stage), self._train_features(stage, features, rois)
        boundary = None
        if part.boundary is not None and masks.boundary is not None:
            # Before the masks' logits, so that in the backward pass they, the largest, are freed first.
            boundary = recomputed(part.boundary.predict, masks.boundary, rois.channels)
        logits = part.head.logits(masks.fused, rois.channels)
        gt = crop_targets(positives, targets, size=logits.shape[-1])
        count = positives.count()
        losses = {"mask": self._mask_loss(logits, gt, positives.mask_weights, count)}
        if boundary is not None:
            losses["boundary"] = self.settings.boundary_weight * boundary_loss(
                boundary, boundary_targets(gt), weights=positives.mask_weights, normalizer=count
            )
        if self.iou_head is not None and stage == len(self.stages) - 1:
            iou = self.iou_head(masks.pooled, logits, rois.channels)
            losses["mask_iou"] = self._iou_loss(iou, logits, gt, positives)
        return losses

    def pooled(
        self, features: Sequence[Tensor], samples: RoiSamples, targets: Sequence[Targets]
    ) -> tuple[Tensor, Tensor]:
        """What the only stage learns from: (K, C, P, P) pooled from positive RoIs, (K, M, M) bool gt."""
        positives = samples.only_positives()
        rois = self._training_rois(positives)
        pooled = self._stage(0).pooler(features, rois.rois, rois.levels)
        crops = crop_targets(positives, targets, size=2 * self.settings.pool_size)
        return pooled, crops > 0

    def pooled_losses(self, pooled: Tensor, samples: RoiSamples, gt: Tensor) -> dict[str, Tensor]:
        """``losses`` of the only stage, without a boundary branch, from what ``pooled`` gave."""
        positives, head = samples.only_positives(), self._stage(0).head
        channels = self._channels(positives.labels)
        logits = head.logits(head.features(pooled, None), channels)
        losses = {"mask": self._mask_loss(logits, gt, positives.mask_weights, positives.count())}
        if self.iou_head is not None:
            iou = self.iou_head(pooled, logits, channels)
            losses["mask_iou"] = self._iou_loss(iou, logits, gt, positives)
        return losses

    def _training_rois(self, positives: RoiSamples) -> MaskRois:
        return MaskRois(
            positives.rois(),
            self._levels(positives.boxes, positives.area_ratio),
            self._channels(positives.labels),
        )

    def _mask_loss(self, logits: Tensor, gt: Tensor, weights: Tensor, count: Tensor) -> Tensor:
        match self.settings.loss:
            case "bce":
                return mask_bce_loss(logits, gt, weights=weights, normalizer=count)
            case "balanced":
                return balanced_mask_loss(
                    logits,
                    gt,
                    dice_weight=self.settings.dice_weight,
                    bce_weight=self.settings.bce_weight,
                    max_weight=self.settings.max_pixel_weight,
                    weights=weights,
                    normalizer=count,
                )

    def _iou_loss(self, iou: Tensor, logits: Tensor, gt: Tensor, positives: RoiSamples) -> Tensor:
        sides = positives.gt_boxes[:, 2:] - positives.gt_boxes[:, :2]
        areas = areas_in_mask_pixels(
            positives.area_ratio * sides.prod(dim=1),
            positives.boxes,
            mask_size=gt.shape[-1],
        )
        wanted = mask_iou_targets(logits, gt, whole_areas=areas)
        return self.settings.mask_iou_weight * mask_iou_loss(
            iou,
            wanted,
            weights=positives.mask_weights,
            normalizer=mean_over_ranks((wanted > 0).sum().float()),
        )

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], rois: Tensor, labels: Tensor) -> MaskPredictions:
        """Masks of each RoI's category, averaged over stages.

        rois: (K, 5) image index and box
        labels: (K,) int64 in 0..C-1

        Eq. 1 needs the mask's area before there is a mask, and the paper does not say where it comes from.
        We offer two ways: ``two_pass`` computes masks twice, the second time only those that move to
        another level; ``prior`` takes the category's mean in training. All stages pool from one level.
        """
        boxes, settings = rois[:, 1:], self.settings
        by_scale = scale_levels(boxes, canonical_size=self.canonical_size)
        levels = by_scale
        ratio = settings.assignment_ratio if needs_area_ratio(settings.assignment) else None
        if ratio == "prior":
            levels = self._levels(boxes, self.area_ratio_prior[labels])
        wanted = MaskRois(rois, levels, self._channels(labels))
        probs, iou = self._probabilities(features, wanted)
        if ratio == "two_pass":
            levels = self._levels(boxes, (probs >= 0.5).float().mean(dim=(1, 2)))
            again = (levels != by_scale).nonzero().squeeze(1)
            probs[again], new_iou = self._probabilities(features, wanted.at(again, levels))
            if iou is not None and new_iou is not None:
                iou[again] = new_iou
        return MaskPredictions(probs, iou, levels != by_scale)

    def _probabilities(
        self, features: Sequence[Tensor], rois: MaskRois
    ) -> tuple[Tensor, Tensor | None]:
        """Probabilities (K, M, M), the mean of all stages, and the last stage's predicted IoU (K,)."""
        total, previous, iou = None, None, None
        for index in range(len(self.stages)):
            stage = self._stage(index)
            pooled = stage.pooler(features, rois.rois, rois.levels)
            previous = stage.head.features(pooled, previous)
            fused, _ = stage.fused(features, rois.rois, previous)
            logits = stage.head.logits(fused, rois.channels)
            probs = logits.float().sigmoid()
            total = probs if total is None else total + probs
            if self.iou_head is not None and index == len(self.stages) - 1:
                iou = self.iou_head(pooled, logits, rois.channels).float()
        assert total is not None
        return total / len(self.stages), iou

    def _train_features(
        self, stage: int, features: Sequence[Tensor], rois: MaskRois
    ) -> StageFeatures:
        """Features of one stage; earlier stages run too if their features flow into it."""
        part, previous = self._stage(stage), None
        pooled = part.pooler(features, rois.rois, rois.levels)
        if part.head.flow is not None:
            for index in range(stage):
                previous = self._stage(index).head.features(pooled, previous)
        own = part.head.features(pooled, previous)
        fused, boundary = part.fused(features, rois.rois, own)
        return StageFeatures(pooled, fused, boundary)

    def _stage(self, index: int) -> MaskStage:
        stage = self.stages[index]
        assert isinstance(stage, MaskStage)
        return stage

    def _channels(self, labels: Tensor) -> Tensor:
        """The predictor's channel (K,) of each label (K,)."""
        return torch.zeros_like(labels) if self.settings.class_agnostic else labels

    def _levels(self, boxes: Tensor, area_ratio: Tensor) -> Tensor:
        return mask_levels(
            boxes,
            area_ratio,
            assignment=self.settings.assignment,
            canonical_size=self.canonical_size,
        )


def crop_targets(positives: RoiSamples, targets: Sequence[Targets], *, size: int) -> Tensor:
    """Mask targets (K, size, size) of 0 and 1: the matched instance inside each of K positive RoIs."""
    parts = [
        target.masks.crop(gt, boxes, size)
        for target, gt, boxes in zip(
            targets,
            positives.gt.split(positives.lengths),
            positives.boxes.split(positives.lengths),
            strict=True,
        )
    ]
    return torch.cat(parts)
