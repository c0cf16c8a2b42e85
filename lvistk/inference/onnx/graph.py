"""The detector of one image as one function of tensors, which a trace can record.

It computes what ``inference.predict`` does with one view: the same modules of the model, and between them the
same steps in a form that does not depend on the example's numbers of boxes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lvistk.config.inference import MergeSettings
from lvistk.inference.onnx.pooling import pool
from lvistk.inference.onnx.tracing import (
    clipped,
    merged_rows,
    nms_by_group,
    padded_to_cells,
    rows_where,
    top_rows,
)
from lvistk.models import box_coder
from lvistk.models.box_head import BoxHead
from lvistk.models.mask_assignment import mask_levels, needs_area_ratio, scale_levels
from lvistk.models.mask_branch import MaskBranch
from lvistk.models.mask_rcnn import POOLED_LEVELS, MaskRCNN
from lvistk.models.mask_stage import MaskStage
from lvistk.models.rpn import UNIT_WEIGHTS


class _Masks(NamedTuple):
    """Masks of K RoIs: probs (K, M, M), and predicted IoU (K,) or None."""

    probs: Tensor
    iou: Tensor | None


class OnnxDetector(nn.Module):
    """From the pixels of one image to its detections.

    merge: threshold, NMS and limits of one view; Soft-NMS is left out.
    """

    def __init__(self, model: MaskRCNN, merge: MergeSettings) -> None:
        super().__init__()
        self.model = model
        self.merge = merge

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Detections, best score first.

        image: (3, H, W) uint8 RGB, the image in the upper left. size: (2,) int64, height and width of it;
            what lies beyond counts as nothing.

        Returns boxes (N, 4) xyxy in pixels of ``image``; scores (N,); labels (N,) int64; with a mask head
            masks (N, M, M), probabilities inside the boxes; with mask scoring mask_scores (N,) too.
        """
        features = self._features(image, size)
        proposals = self._propose(features, size)
        boxes, scores = self._detect(features[:POOLED_LEVELS], proposals, size)
        boxes, scores, labels = self._select(boxes, scores, size)
        mask = self.model.roi_heads.mask
        if mask is None:
            return boxes, scores, labels
        masks = self._masks(mask, features[:POOLED_LEVELS], boxes, labels)
        if masks.iou is None:
            return boxes, scores, labels, masks.probs
        return boxes, scores, labels, masks.probs, scores * masks.iou

    def _features(self, image: Tensor, size: Tensor) -> list[Tensor]:
        """P2 to P6 of the normalised image, which is zero beyond its size."""
        normalised = (image.float() - self.model.image_mean) / self.model.image_std
        rows = torch.arange(image.shape[1])[:, None] < size[0]
        columns = torch.arange(image.shape[2])[None] < size[1]
        own = (rows & columns).to(normalised.dtype)
        padded = padded_to_cells(normalised * own)
        return self.model.neck(self.model.backbone(padded[None]))

    def _propose(self, features: list[Tensor], size: Tensor) -> Tensor:
        """The RPN's best boxes (P, 4) after NMS within levels."""
        rpn, settings = self.model.rpn, self.model.settings.rpn
        boxes, logits, levels = [], [], []
        for level, (feature, anchors) in enumerate(
            zip(features, rpn.anchors(features), strict=True)
        ):
            hidden = rpn.conv(feature).relu()
            all_logits = rpn.objectness(hidden)[0].permute(1, 2, 0).reshape(-1)
            deltas = rpn.deltas(hidden)[0].permute(1, 2, 0).reshape(-1, 4)
            best = top_rows(all_logits, settings.pre_nms_test)
            boxes.append(box_coder.decode(deltas[best], anchors[best], weights=UNIT_WEIGHTS))
            logits.append(all_logits[best])
            levels.append(torch.zeros_like(best) + level)
        all_boxes = clipped(torch.cat(boxes), size)
        width, height = (all_boxes[:, 2:] - all_boxes[:, :2]).unbind(dim=1)
        full = rows_where((width > 0) & (height > 0))
        all_boxes, scores = all_boxes[full], torch.cat(logits)[full]
        keep = nms_by_group(
            all_boxes,
            scores,
            torch.cat(levels)[full],
            number=len(features),
            iou=settings.nms_iou,
            size=size,
        )
        return all_boxes[keep[: settings.post_nms_test]]

    def _detect(
        self, features: Sequence[Tensor], proposals: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Boxes, (P, 4) or (P, C, 4), and scores (P, C); as ``RoiHeads.detect``."""
        heads, cascade = self.model.roi_heads, self.model.settings.cascade
        boxes, total, last = proposals, None, len(heads.box_heads) - 1
        for stage, pooler in enumerate(heads.box_poolers):
            head = heads.box_heads[stage]
            assert isinstance(head, BoxHead)
            levels = scale_levels(boxes, canonical_size=self.model.settings.canonical_size)
            hidden = head(pool(pooler, features, _rois(boxes), levels))
            logits = head.classifier(hidden)
            own = logits if cascade.average == "logits" else head.classifier.scores(logits)
            total = own if total is None else total + own
            weights = cascade.box_weights[stage]
            if stage < last:
                best = head.classifier.scores(logits).argmax(dim=1)
                deltas = head.deltas_of(hidden, best)
            else:
                deltas = head.all_deltas(hidden)
            boxes = clipped(box_coder.decode(deltas, boxes, weights=weights), size)
        assert total is not None
        mean = total / (last + 1)
        if cascade.average == "logits":
            final = heads.box_heads[last]
            assert isinstance(final, BoxHead)
            mean = final.classifier.scores(mean)
        return boxes, mean

    def _select(self, boxes: Tensor, scores: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best detections after class-wise NMS: boxes (N, 4), scores (N,), labels (N,)."""
        merge = self.merge
        pairs = (scores > merge.score_threshold).nonzero()  # (K, 2)
        rows, labels = pairs[:, 0], pairs[:, 1]
        values = scores[rows, labels]
        best = top_rows(values, merge.pre_nms_per_view)
        rows, labels, values = rows[best], labels[best], values[best]
        chosen = boxes[rows] if boxes.dim() == 2 else boxes[rows, labels]
        width, height = (chosen[:, 2:] - chosen[:, :2]).unbind(dim=1)
        full = rows_where((width > 0) & (height > 0))
        chosen, values, labels = chosen[full], values[full], labels[full]
        keep = nms_by_group(
            chosen, values, labels, number=scores.shape[1], iou=merge.nms_iou, size=size
        )[: merge.max_detections]
        return chosen[keep], values[keep], labels[keep]

    def _masks(
        self, mask: MaskBranch, features: Sequence[Tensor], boxes: Tensor, labels: Tensor
    ) -> _Masks:
        """Masks of each box's category; as ``MaskBranch.predict``."""
        settings, canonical = mask.settings, mask.canonical_size
        levels = scale_levels(boxes, canonical_size=canonical)
        ratio = settings.assignment_ratio if needs_area_ratio(settings.assignment) else None
        if ratio == "prior":
            levels = mask_levels(
                boxes,
                mask.area_ratio_prior[labels],
                assignment=settings.assignment,
                canonical_size=canonical,
            )
        channels = torch.zeros_like(labels) if settings.class_agnostic else labels
        first = _mask_pass(mask, features, boxes, levels, channels)
        if ratio != "two_pass":
            return first
        area_ratio = (first.probs >= 0.5).float().mean(dim=(1, 2))
        wanted = mask_levels(
            boxes, area_ratio, assignment=settings.assignment, canonical_size=canonical
        )
        stay, again = rows_where(wanted == levels), rows_where(wanted != levels)
        second = _mask_pass(mask, features, boxes[again], wanted[again], channels[again])
        rows = (stay, again)
        probs = merged_rows((first.probs[stay], second.probs), rows)
        if first.iou is None or second.iou is None:
            return _Masks(probs, None)
        return _Masks(probs, merged_rows((first.iou[stay], second.iou), rows))


def _mask_pass(
    mask: MaskBranch, features: Sequence[Tensor], boxes: Tensor, levels: Tensor, channels: Tensor
) -> _Masks:
    """Mean probabilities of all stages, and the last one's predicted IoU."""
    rois, total, previous, iou = _rois(boxes), None, None, None
    for index, stage in enumerate(mask.stages):
        assert isinstance(stage, MaskStage)
        pooled = pool(stage.pooler, features, rois, levels)
        previous = stage.head.features(pooled, previous)
        fused = previous
        if stage.boundary is not None:
            fine = pool(stage.fine_pooler, features, rois, torch.zeros_like(levels))
            boundary = stage.boundary(stage.boundary.entered(previous, fine))
            fused = stage.boundary.fused(previous, boundary)
        upsampled = stage.head.deconv(fused).relu()
        logits = stage.head.predictor(upsampled, channels)
        probs = logits.sigmoid()
        total = probs if total is None else total + probs
        if mask.iou_head is not None and index == len(mask.stages) - 1:
            iou = mask.iou_head(pooled, logits, channels)
    assert total is not None
    return _Masks(total / len(mask.stages), iou)


def _rois(boxes: Tensor) -> Tensor:
    """(K, 5): boxes (K, 4) of the only image."""
    return torch.cat([boxes[:, :1] * 0, boxes], dim=1)
