"""The detector: backbone, neck, RPN and RoI heads (He et al., ICCV 2017, arXiv 1703.06870)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lvistk.config.model import ModelSettings
from lvistk.models.backbone import Backbone
from lvistk.models.fpn import FeaturePyramid
from lvistk.models.mixed_sizes import features_by_size
from lvistk.models.outputs import BoxOutput, MaskOutput
from lvistk.models.pooled_rois import PooledRois
from lvistk.models.roi_heads import RoiHeads, as_rois
from lvistk.models.rpn import RegionProposalNetwork
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets

POOLED_LEVELS = 4
"""RoIs are pooled from P2 to P5; P6 serves the RPN alone."""


class MaskRCNN(nn.Module):
    """Mask R-CNN and, with more heads, Cascade Mask R-CNN and HTC without its semantic branch.

    Three methods, since test-time augmentation needs them apart: ``losses`` for training,
    ``detect_boxes`` and ``predict_masks`` at inference. All of it in network-input pixels.
    """

    def __init__(
        self,
        settings: ModelSettings,
        categories: Categories,
        *,
        backbone: Backbone,
        neck: FeaturePyramid,
        rpn: RegionProposalNetwork,
        roi_heads: RoiHeads,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.categories = categories
        self.backbone = backbone
        self.neck = neck
        self.rpn = rpn
        self.roi_heads = roi_heads
        self.image_mean: Tensor
        self.image_std: Tensor
        mean, std = torch.tensor(settings.image_mean), torch.tensor(settings.image_std)
        self.register_buffer("image_mean", mean[:, None, None], persistent=False)
        self.register_buffer("image_std", std[:, None, None], persistent=False)

    def forward(
        self, batch: ImageBatch | PooledRois, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """``losses``, or those of RoIs that were pooled before, under the name that torch's wrappers call."""
        if isinstance(batch, PooledRois):
            return self.roi_heads.pooled_losses(batch, targets)
        return self.losses(batch, targets)

    @torch.no_grad()
    def pooled_rois(
        self, batch: ImageBatch, targets: Sequence[Targets], *, masks: bool, shared_layers: bool
    ) -> PooledRois:
        """What ``losses`` would have the heads learn from, of a model with one box head.

        masks: also what masks are trained on. shared_layers: box features behind the shared layers.
        """
        generators = [target.generator(batch.images.device) for target in targets]
        features = self.features(batch)
        proposals = self.rpn.propose(features, batch.size_list(), training=True)
        return self.roi_heads.pooled_rois(
            features[:POOLED_LEVELS],
            [image.boxes for image in proposals],
            targets,
            generators=generators,
            masks=masks,
            shared_layers=shared_layers,
        )

    def losses(self, batch: ImageBatch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """0-d losses by name; the total is their sum.

        Each is a sum over the batch's RoIs or anchors, weighted by their image's ``loss_weight``,
        divided by the unweighted count (mean over ranks). A frozen RPN has none. Images without
        ground truth teach background; without any positive RoI all losses keep their graph.
        """
        sizes = batch.size_list()
        generators = [target.generator(batch.images.device) for target in targets]
        features = self.features(batch)
        losses: dict[str, Tensor] = {}
        if any(parameter.requires_grad for parameter in self.rpn.parameters()):
            losses |= self.rpn.losses(features, targets, generators=generators)
        proposals = self.rpn.propose(features, sizes, training=True)
        return losses | self.roi_heads.losses(
            features[:POOLED_LEVELS],
            [image.boxes for image in proposals],
            targets,
            sizes=sizes,
            generators=generators,
        )

    def features(self, batch: ImageBatch) -> list[Tensor]:
        """P2 to P6, (B, channels, H / s, W / s) at strides 4 to 64."""
        return self.neck(self.backbone(self._normalised(batch)))

    @torch.no_grad()
    def inference_features(self, batch: ImageBatch) -> list[Tensor]:
        """P2 to P6, each image's as it would have them alone, whatever the batch's other sizes."""
        return features_by_size(
            lambda images: self.neck(self.backbone(images)),
            self._normalised(batch),
            batch.size_list(),
        )

    def _normalised(self, batch: ImageBatch) -> Tensor:
        """Images (B, 3, H, W) float32 of zero mean and unit deviation, zero beyond each image."""
        images = (batch.images - self.image_mean) / self.image_std
        for image, (height, width) in zip(images, batch.size_list(), strict=True):
            image[:, height:] = 0
            image[:, :, width:] = 0
        return images

    @torch.no_grad()
    def detect_boxes(self, batch: ImageBatch) -> BoxOutput:
        """Scored boxes of every category, before any threshold or NMS.

        An image's are the same alone and in a batch of other sizes.
        """
        sizes = batch.size_list()
        features = self.inference_features(batch)
        proposals = [image.boxes for image in self.rpn.propose(features, sizes, training=False)]
        boxes, scores = self.roi_heads.detect(features[:POOLED_LEVELS], proposals, sizes=sizes)
        return BoxOutput(features, boxes, scores, proposals)

    @torch.no_grad()
    def predict_masks(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[MaskOutput]:
        """Masks of boxes (N, 4) with labels (N,), one pair per image of the batch that gave
        ``features``. N = 0 gives (0, M, M)."""
        if self.roi_heads.mask is None:
            raise ValueError("this model was built without a mask head")
        lengths = [len(part) for part in boxes]
        rois = as_rois(boxes)
        predicted = self.roi_heads.mask.predict(
            features[:POOLED_LEVELS], rois, torch.cat(list(labels))
        )
        ious = [None] * len(lengths) if predicted.iou is None else predicted.iou.split(lengths)
        return [
            MaskOutput(probs=probs, iou=iou, moved=moved.sum() / max(len(moved), 1))
            for probs, iou, moved in zip(
                predicted.probs.split(lengths), ious, predicted.moved.split(lengths), strict=True
            )
        ]
