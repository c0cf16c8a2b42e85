"""A model, written out from its settings."""

import torch
from torch import Tensor, nn

from lvistk.config.model import BoxHeadSettings, MaskHeadSettings, ModelSettings
from lvistk.errors import UserError
from lvistk.models.backbone import build_backbone
from lvistk.models.boundary_head import BoundaryBranch
from lvistk.models.box_head import BoxHead
from lvistk.models.deform_roi_pool import DeformRoIPool
from lvistk.models.fpn import FeaturePyramid
from lvistk.models.mask_branch import MaskBranch
from lvistk.models.mask_head import MaskHead
from lvistk.models.mask_iou_head import MaskIouHead
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.mask_stage import MaskStage
from lvistk.models.roi_heads import RoiHeads
from lvistk.models.roi_pooler import STRIDES, RoiPooler
from lvistk.models.rpn import RegionProposalNetwork
from lvistk.structures.categories import Categories


def build_model(
    settings: ModelSettings, categories: Categories, *, area_ratio_prior: Tensor | None = None
) -> MaskRCNN:
    """The detector of these settings for these categories, freshly initialised.

    area_ratio_prior: (C,) mean share of its box that a category's masks fill in training, for
    ``mask.assignment_ratio = "prior"``. Errors: ``UserError`` where settings contradict each other.
    """
    _check(settings)
    backbone = build_backbone(settings.backbone)
    neck = FeaturePyramid(backbone.channels, settings.fpn)
    rpn = RegionProposalNetwork(
        neck.channels, settings.rpn, missing_iou=settings.box.missing_ignore_iou
    )
    stages = range(len(settings.cascade.ious))
    # Before the mask branch, so that its parts do not change what the box heads draw at random.
    poolers = [_build_pooler(settings, settings.box, neck.channels) for _ in stages]
    box_heads = [
        BoxHead(neck.channels, settings.box, classifier=settings.classifier, categories=categories)
        for _ in stages
    ]
    mask_branch = None
    if settings.mask.enabled:
        mask_branch = _build_mask_branch(
            settings, neck.channels, categories, area_ratio_prior=area_ratio_prior
        )
    roi_heads = RoiHeads(settings, poolers=poolers, box_heads=box_heads, mask_branch=mask_branch)
    return MaskRCNN(
        settings, categories, backbone=backbone, neck=neck, rpn=rpn, roi_heads=roi_heads
    )


def _build_mask_branch(
    settings: ModelSettings,
    channels: int,
    categories: Categories,
    *,
    area_ratio_prior: Tensor | None,
) -> MaskBranch:
    mask, cascade = settings.mask, settings.cascade
    num_channels = 1 if mask.class_agnostic else len(categories)
    stages = [
        MaskStage(
            pooler=_build_pooler(settings, mask, channels),
            head=MaskHead(
                channels,
                mask,
                num_categories=num_channels,
                takes_flow=cascade.mask_flow and index > 0,
            ),
            boundary=BoundaryBranch(mask.channels, num_channels) if mask.boundary else None,
            fine_pooler=RoiPooler(
                2 * mask.pool_size,
                sampling_ratio=mask.sampling_ratio,
                aligned=settings.box.aligned,
            ),
        )
        for index in range(len(cascade.ious) if cascade.mask_every_stage else 1)
    ]
    iou_head = None
    if mask.mask_iou:
        iou_head = MaskIouHead(
            channels,
            num_channels,
            mask_size=mask.pool_size,
            conv_channels=mask.mask_iou_channels,
            fc_channels=mask.mask_iou_fc_channels,
        )
    prior = torch.ones(len(categories)) if area_ratio_prior is None else area_ratio_prior
    return MaskBranch(
        mask,
        stages=stages,
        iou_head=iou_head,
        canonical_size=settings.canonical_size,
        area_ratio_prior=prior,
    )


def _build_pooler(
    settings: ModelSettings, head: BoxHeadSettings | MaskHeadSettings, channels: int
) -> nn.Module:
    """What pools RoIs for a box head or a mask head."""
    match head.deform_pool:
        case "none":
            return RoiPooler(
                head.pool_size, sampling_ratio=head.sampling_ratio, aligned=settings.box.aligned
            )
        case "v1" | "v2" as version:
            return DeformRoIPool(
                channels,
                head.pool_size,
                strides=STRIDES,
                max_ratio=head.deform_samples,
                modulated=version == "v2",
            )


def _check(settings: ModelSettings) -> None:
    cascade = settings.cascade
    lengths = {len(cascade.ious), len(cascade.loss_weights), len(cascade.box_weights)}
    if lengths != {len(cascade.ious)} or not cascade.ious:
        raise UserError(
            "cascade.ious, loss_weights and box_weights need one entry per stage; they have "
            f"{len(cascade.ious)}, {len(cascade.loss_weights)} and {len(cascade.box_weights)}"
        )
    if len(settings.rpn.anchor_sizes) != 5:
        raise UserError(
            f"rpn.anchor_sizes has {len(settings.rpn.anchor_sizes)} entries; it needs 5, P2 to P6"
        )
    if settings.mask.boundary and settings.mask.channels != settings.fpn.channels:
        raise UserError(
            f"mask.boundary needs mask.channels ({settings.mask.channels}) equal to fpn.channels "
            f"({settings.fpn.channels})"
        )
    if settings.mask.convs == 0 and settings.mask.channels != settings.fpn.channels:
        raise UserError(
            f"mask.convs = 0 needs mask.channels ({settings.mask.channels}) equal to fpn.channels "
            f"({settings.fpn.channels})"
        )
    if cascade.mask_flow and not cascade.mask_every_stage:
        raise UserError("cascade.mask_flow needs cascade.mask_every_stage = true")
