"""The second stage: a list of box heads and mask heads. One of each is Mask R-CNN, three are HTC."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lvistk.config.model import ModelSettings
from lvistk.losses.box import smooth_l1_loss
from lvistk.models import box_coder
from lvistk.models.box_head import BoxHead
from lvistk.models.classifiers.classifier import PerImage
from lvistk.models.mask_assignment import scale_levels
from lvistk.models.mask_branch import MaskBranch
from lvistk.models.pooled_rois import PooledRois
from lvistk.models.samples import RoiSamples, SamplingRule, sample_rois
from lvistk.structures.targets import Targets

Size = tuple[int, int]


class StageOutput(NamedTuple):
    """What one box head makes of N RoIs.

    hidden: (N, F) features of the shared layers.
    logits: (N, channels) of the classifier.
    """

    hidden: Tensor
    logits: Tensor


class RoiHeads(nn.Module):
    """Box heads stage by stage on ever better boxes, and the mask branch."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        poolers: Sequence[nn.Module],
        box_heads: Sequence[BoxHead],
        mask_branch: MaskBranch | None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.box_poolers = nn.ModuleList(poolers)
        self.box_heads = nn.ModuleList(box_heads)
        self.mask = mask_branch

    def losses(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[Targets],
        *,
        sizes: Sequence[Size],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """Losses of all stages, each times its stage's weight; names end in ``_2``, ``_3`` from the
        second stage of a cascade on.

        features: P2 to P5. proposals: (P, 4) per image, without the ground truth.
        """
        cascade = self.settings.cascade
        losses: dict[str, Tensor] = {}
        boxes, last = list(proposals), len(self.box_heads) - 1
        for stage, weight in enumerate(cascade.loss_weights):
            rule = self._rule(stage)
            samples = sample_rois(boxes, targets, rule=rule, generators=generators)
            output = self._run(stage, features, samples.rois())
            own = self._box_losses(stage, output, samples, targets, generators)
            has_mask = self.mask is not None and (cascade.mask_every_stage or stage == last)
            if stage < last or (has_mask and cascade.interleaved):
                boxes = self._refined_samples(stage, output, samples, sizes)
            if has_mask and self.mask is not None:
                if cascade.interleaved:
                    samples = sample_rois(boxes, targets, rule=rule, generators=generators)
                index = stage if cascade.mask_every_stage else 0
                own |= self.mask.losses(index, features, samples, targets)
            suffix = f"_{stage + 1}" if stage else ""
            losses |= {f"{name}{suffix}": value * weight for name, value in own.items()}
        return losses

    def pooled_rois(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[Targets],
        *,
        generators: Sequence[torch.Generator],
        masks: bool,
        shared_layers: bool,
    ) -> PooledRois:
        """See ``MaskRCNN.pooled_rois``."""
        samples = sample_rois(proposals, targets, rule=self._rule(0), generators=generators)
        states = torch.stack([generator.get_state() for generator in generators])
        rois = samples.rois()
        if shared_layers:
            box = self._hidden(0, features, rois)
        else:
            box = self._pooled(0, features, rois)
        mask = crops = None
        if masks and self.mask is not None:
            mask, crops = self.mask.pooled(features, samples, targets)
        return PooledRois(samples, box, mask, crops, states)

    def pooled_losses(self, pooled: PooledRois, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """``losses`` of a model with one box head, of RoIs that were pooled before."""
        generators = pooled.generators(pooled.box.device)
        head = self._head(0)
        hidden = head(pooled.box) if pooled.box.dim() == 4 else pooled.box
        output = StageOutput(hidden, head.classifier(hidden))
        losses = self._box_losses(0, output, pooled.samples, targets, generators)
        if self.mask is not None and pooled.mask is not None and pooled.crops is not None:
            losses |= self.mask.pooled_losses(pooled.mask, pooled.samples, pooled.crops.float())
        return {
            name: value * self.settings.cascade.loss_weights[0] for name, value in losses.items()
        }

    def _rule(self, stage: int) -> SamplingRule:
        box = self.settings.box
        return SamplingRule(
            iou=self.settings.cascade.ious[stage],
            number=box.batch_per_image,
            positive_fraction=box.positive_fraction,
            ignore_iou=box.missing_ignore_iou,
            background=self._head(stage).num_categories,
        )

    def _head(self, stage: int) -> BoxHead:
        head = self.box_heads[stage]
        assert isinstance(head, BoxHead)
        return head

    def _run(self, stage: int, features: Sequence[Tensor], rois: Tensor) -> StageOutput:
        hidden = self._hidden(stage, features, rois)
        return StageOutput(hidden, self._head(stage).classifier(hidden))

    def _hidden(self, stage: int, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        return self._head(stage)(self._pooled(stage, features, rois))

    def _pooled(self, stage: int, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        levels = scale_levels(rois[:, 1:], canonical_size=self.settings.canonical_size)
        return self.box_poolers[stage](features, rois, levels)

    def _box_losses(
        self,
        stage: int,
        output: StageOutput,
        samples: RoiSamples,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        head = self._head(stage)
        chosen = samples.only_positives()
        encoded = box_coder.encode(
            chosen.gt_boxes, chosen.boxes, weights=self.settings.cascade.box_weights[stage]
        )
        return {
            "classifier": head.classifier.loss(
                output.logits, samples, PerImage(targets, generators)
            ),
            "box": smooth_l1_loss(
                head.deltas_of(samples.positive_rows(output.hidden), chosen.labels),
                encoded,
                beta=self.settings.box.smooth_l1_beta,
                weights=chosen.weights,
                normalizer=samples.count(),
            ),
        }

    @torch.no_grad()
    def _refine(
        self, stage: int, output: StageOutput, boxes: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Boxes (N, 4) regressed for ``labels``, or for the category that scores best."""
        head = self._head(stage)
        best = head.classifier.scores(output.logits).argmax(dim=1)  # (N,)
        if labels is not None:
            known = labels < head.num_categories
            best = torch.where(known, labels, best)
        deltas = head.deltas_of(output.hidden, best)
        weights = self.settings.cascade.box_weights[stage]
        return box_coder.decode(deltas, boxes, weights=weights)

    @torch.no_grad()
    def _refined_samples(
        self, stage: int, output: StageOutput, samples: RoiSamples, sizes: Sequence[Size]
    ) -> list[Tensor]:
        """Refined boxes of each image, without those that were ground truth boxes."""
        boxes = self._refine(stage, output, samples.boxes, samples.labels)
        parts = zip(
            boxes.split(samples.lengths),
            samples.is_gt.split(samples.lengths),
            sizes,
            strict=True,
        )
        return [box_coder.clip(part[~is_gt], size) for part, is_gt, size in parts]

    @torch.no_grad()
    def detect(
        self, features: Sequence[Tensor], proposals: Sequence[Tensor], *, sizes: Sequence[Size]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Boxes, (P, 4) or (P, C, 4), and scores (P, C) of each image.

        Logits are averaged over stages, then turned into scores (HTC; for group softmax that is the
        average within each group), or the other way round, as settings say; the boxes are the last
        stage's. Last layers compute in float32 under autocast too: in half precision most scores have
        equals.
        """
        lengths = [len(part) for part in proposals]
        boxes, total, last = list(proposals), None, len(self.box_heads) - 1
        output = None
        for stage in range(last + 1):
            rois = as_rois(boxes)
            hidden = self._hidden(stage, features, rois).float()
            with torch.autocast(hidden.device.type, enabled=False):
                output = StageOutput(hidden, self._head(stage).classifier(hidden))
            outputs = output.logits
            if self.settings.cascade.average == "scores":
                outputs = self._head(stage).classifier.scores(outputs)
            total = outputs if total is None else total + outputs
            if stage < last:
                with torch.autocast(hidden.device.type, enabled=False):
                    refined = self._refine(stage, output, rois[:, 1:], None).split(lengths)
                boxes = [box_coder.clip(b, size) for b, size in zip(refined, sizes, strict=True)]
        assert output is not None and total is not None
        head = self._head(last)
        mean = total / (last + 1)
        if self.settings.cascade.average == "logits":
            mean = head.classifier.scores(mean)
        with torch.autocast(mean.device.type, enabled=False):
            deltas = head.all_deltas(output.hidden).split(lengths)
        weights = self.settings.cascade.box_weights[last]
        decoded = [
            box_coder.clip(box_coder.decode(delta, box, weights=weights), size)
            for delta, box, size in zip(deltas, boxes, sizes, strict=True)
        ]
        return decoded, list(mean.split(lengths))


def as_rois(boxes: Sequence[Tensor]) -> Tensor:
    """(K, 5) image index and box of each image's boxes."""
    return torch.cat(
        [
            torch.cat([part.new_full((len(part), 1), image), part], dim=1)
            for image, part in enumerate(boxes)
        ]
    )
