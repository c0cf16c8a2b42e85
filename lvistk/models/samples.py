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
    """N RoIs of a batch, photo by photo.

    Fields: ``boxes (N, 4)``; ``photo (N,)`` int64 index into the batch; ``labels (N,)`` in 0..C, C is
    background; ``truth (N,)`` index of the matched truth in its photo (0 for background);
    ``gt_boxes (N, 4)`` its box (the RoI itself for background); ``area_ratio (N,)`` its mask area over
    box area (1 for background); ``weights (N,)`` loss weight of the photo; ``is_truth (N,)`` bool, RoIs
    that are truth boxes themselves; ``lengths`` RoIs of each photo, of which the first ``positives`` are
    positive.
    """

    boxes: Tensor
    photo: Tensor
    labels: Tensor
    truth: Tensor
    gt_boxes: Tensor
    area_ratio: Tensor
    weights: Tensor
    is_truth: Tensor
    lengths: list[int]
    positives: list[int]

    def __len__(self) -> int:
        return len(self.boxes)

    def rois(self) -> Tensor:
        """(N, 5): photo and box."""
        return torch.cat([self.photo[:, None].to(self.boxes.dtype), self.boxes], dim=1)

    def count(self) -> Tensor:
        """0-d: N, as a mean over ranks."""
        return mean_over_ranks(self.boxes.new_tensor(float(len(self))))

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
            photo=self.positive_rows(self.photo),
            labels=self.positive_rows(self.labels),
            truth=self.positive_rows(self.truth),
            gt_boxes=self.positive_rows(self.gt_boxes),
            area_ratio=self.positive_rows(self.area_ratio),
            weights=self.positive_rows(self.weights),
            is_truth=self.positive_rows(self.is_truth),
            lengths=self.positives,
            positives=self.positives,
        )


@dataclass(frozen=True)
class SamplingRule:
    """How RoIs are labelled and drawn: ``iou`` from which one is positive, at most ``number`` a photo
    of which ``positive_fraction`` positive; ``ignore_iou`` to a missing annotation from which a RoI that
    is not positive is left out; ``background`` is the label C."""

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
    """Truth boxes join ``boxes`` (one (P, 4) a photo); all are labelled, and some drawn."""
    parts = [
        _sample_photo(photo, candidates, target, rule, generator)
        for photo, (candidates, target, generator) in enumerate(
            zip(boxes, targets, generators, strict=True)
        )
    ]
    return RoiSamples(
        boxes=torch.cat([part.boxes for part in parts]),
        photo=torch.cat([part.photo for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        truth=torch.cat([part.truth for part in parts]),
        gt_boxes=torch.cat([part.gt_boxes for part in parts]),
        area_ratio=torch.cat([part.area_ratio for part in parts]),
        weights=torch.cat([part.weights for part in parts]),
        is_truth=torch.cat([part.is_truth for part in parts]),
        lengths=[len(part) for part in parts],
        positives=[number for part in parts for number in part.positives],
    )


def _sample_photo(
    photo: int,
    candidates: Tensor,
    target: Targets,
    rule: SamplingRule,
    generator: torch.Generator,
) -> RoiSamples:
    truths = len(target)
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
    first = drawn.indices[: drawn.positives][drawn.valid[: drawn.positives]]
    others = drawn.indices[drawn.positives :][drawn.valid[drawn.positives :]]
    chosen = torch.cat([first, others])  # (N,)
    boxes, truth, positive = boxes[chosen], matches.truth[chosen], positive[chosen]
    labels = torch.full_like(truth, rule.background)
    gt_boxes, area_ratio = boxes, boxes.new_ones(len(boxes))
    if truths:
        labels = torch.where(positive, target.labels[truth], labels)
        gt_boxes = torch.where(positive[:, None], target.boxes[truth], gt_boxes)
        area_ratio = torch.where(positive, target.area_ratio[truth], area_ratio)
    return RoiSamples(
        boxes=boxes,
        photo=torch.full_like(truth, photo),
        labels=labels,
        truth=truth,
        gt_boxes=gt_boxes,
        area_ratio=area_ratio,
        weights=boxes.new_full((len(boxes),), target.loss_weight),
        is_truth=chosen >= len(candidates),
        lengths=[len(chosen)],
        positives=[len(first)],
    )
