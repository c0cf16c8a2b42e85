"""The RoIs that one stage of the heads learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lvistk.distributed import mean_over_ranks
from lvistk.models.matcher import match, overlaps_any
from lvistk.models.sampling import sample
from lvistk.structures.targets import Targets


@dataclass
class RoiSamples:
    """N RoIs of a batch, image by image.

    boxes: (N, 4).
    image: (N,) int64 index into the batch.
    labels: (N,) in 0..C, C is background.
    gt: (N,) index of the matched ground truth in its image; 0 for background.
    gt_boxes: (N, 4) its box; the RoI itself for background.
    area_ratio: (N,) its mask area over its box area; 1 for background.
    weights: (N,) loss weight of the image, for a positive RoI times that of its ground truth instance.
    mask_weights: (N,) the same times the image's weight of mask losses.
    is_gt: (N,) bool, RoIs that are ground truth boxes themselves.
    lengths: number of RoIs of each image.
    positives: how many of them, the first ones, are positive.
    """

    boxes: Tensor
    image: Tensor
    labels: Tensor
    gt: Tensor
    gt_boxes: Tensor
    area_ratio: Tensor
    weights: Tensor
    mask_weights: Tensor
    is_gt: Tensor
    lengths: list[int]
    positives: list[int]

    def __len__(self) -> int:
        return len(self.boxes)

    def rois(self) -> Tensor:
        """(N, 5): image and box."""
        return torch.cat([self.image[:, None].to(self.boxes.dtype), self.boxes], dim=1)

    def count(self) -> Tensor:
        """0-d: N, as a mean over ranks."""
        return mean_over_ranks(self.boxes.new_full((), float(len(self))))

    def positive_rows(self, values: Tensor) -> Tensor:
        """(K, ...): the rows of ``values (N, ...)`` that belong to positive RoIs."""
        parts = values.split(self.lengths)
        return torch.cat(
            [part[:number] for part, number in zip(parts, self.positives, strict=True)]
        )

    def only_positives(self) -> "RoiSamples":
        """The K positive RoIs."""
        return RoiSamples(
            boxes=self.positive_rows(self.boxes),
            image=self.positive_rows(self.image),
            labels=self.positive_rows(self.labels),
            gt=self.positive_rows(self.gt),
            gt_boxes=self.positive_rows(self.gt_boxes),
            area_ratio=self.positive_rows(self.area_ratio),
            weights=self.positive_rows(self.weights),
            mask_weights=self.positive_rows(self.mask_weights),
            is_gt=self.positive_rows(self.is_gt),
            lengths=self.positives,
            positives=self.positives,
        )


@dataclass(frozen=True)
class SamplingRule:
    """How RoIs are labelled and drawn.

    iou: IoU to a ground truth box from which a RoI is positive.
    number: most RoIs per image.
    positive_fraction: largest share of positives among them.
    ignore_iou: IoU to a missing annotation from which a RoI that is not positive is left out.
    background: the label C.
    """

    iou: float
    number: int
    positive_fraction: float
    ignore_iou: float
    background: int


@torch.no_grad()
def sample_rois(
    boxes: Sequence[Tensor],
    targets: Sequence[Targets],
    *,
    rule: SamplingRule,
    generators: Sequence[torch.Generator],
) -> RoiSamples:
    """Ground truth boxes join ``boxes`` (one (P, 4) per image); all are labelled, and some drawn."""
    parts = [
        _sample_image(image, candidates, target, rule, generator)
        for image, (candidates, target, generator) in enumerate(
            zip(boxes, targets, generators, strict=True)
        )
    ]
    return RoiSamples(
        boxes=torch.cat([part.boxes for part in parts]),
        image=torch.cat([part.image for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        gt=torch.cat([part.gt for part in parts]),
        gt_boxes=torch.cat([part.gt_boxes for part in parts]),
        area_ratio=torch.cat([part.area_ratio for part in parts]),
        weights=torch.cat([part.weights for part in parts]),
        mask_weights=torch.cat([part.mask_weights for part in parts]),
        is_gt=torch.cat([part.is_gt for part in parts]),
        lengths=[len(part) for part in parts],
        positives=[number for part in parts for number in part.positives],
    )


def _sample_image(
    image: int,
    candidates: Tensor,
    target: Targets,
    rule: SamplingRule,
    generator: torch.Generator,
) -> RoiSamples:
    gts = len(target)
    boxes = torch.cat([candidates, target.boxes])  # (P, 4)
    matches = match(boxes, target.boxes)
    positive = matches.iou >= rule.iou
    negative = ~positive & ~overlaps_any(boxes, target.ignore_boxes, iou=rule.ignore_iou)
    drawn = sample(
        positive,
        negative,
        number=rule.number,
        positive_fraction=rule.positive_fraction,
        generator=generator,
    )
    number, positives = torch.stack(
        [drawn.valid.sum(), drawn.valid[: drawn.positives].sum()]
    ).tolist()  # the one wait for the device; boolean indices would be two
    chosen = drawn.indices[(~drawn.valid).argsort(stable=True)[:number]]  # (N,)
    boxes, gt, positive = boxes[chosen], matches.gt[chosen], positive[chosen]
    labels = torch.full_like(gt, rule.background)
    gt_boxes, area_ratio = boxes, boxes.new_ones(len(boxes))
    weights = boxes.new_full((len(boxes),), target.loss_weight)
    if gts:
        labels = torch.where(positive, target.labels[gt], labels)
        gt_boxes = torch.where(positive[:, None], target.boxes[gt], gt_boxes)
        area_ratio = torch.where(positive, target.area_ratio[gt], area_ratio)
        if target.weights is not None:
            weights = torch.where(positive, weights * target.weights[gt], weights)
    return RoiSamples(
        boxes=boxes,
        image=torch.full_like(gt, image),
        labels=labels,
        gt=gt,
        gt_boxes=gt_boxes,
        area_ratio=area_ratio,
        weights=weights,
        mask_weights=weights * target.mask_weight,
        is_gt=chosen >= len(candidates),
        lengths=[len(chosen)],
        positives=[positives],
    )
