"""Settings of a model: all that is needed to build it again from its weights."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from lvistk.config.classifier import ClassifierSettings
from lvistk.config.ranges import (
    OPERATIONAL,
    Channels,
    Count,
    Few,
    NotNegative,
    Positive,
    Share,
)

FivePositive = Annotated[tuple[Positive, ...], Meta(min_length=5, max_length=5)]


@dataclass(frozen=True)
class BackboneSettings:
    """What turns an image into feature maps of stride 4, 8, 16 and 32."""

    library: Literal["torchvision", "timm"] = "torchvision"
    name: str = "resnet50"
    """Name in that library; ``timm`` needs the extra ``lvistk[timm]``."""
    weights: str = ""
    """Empty: random, and then no stage is frozen. ``imagenet``: the library's own download.
    ``lvistk:NAME``: a file that ships with lvistk. Otherwise a local file (.pth, .pt, .safetensors) in
    torchvision's, timm's or lvistk's names."""
    norm: Literal["frozen_bn", "bn", "sync_bn", "gn"] = "frozen_bn"
    """Normalisation layers: batch norm with fixed or running statistics, over one device or all, or
    group norm."""
    frozen_stages: Annotated[int, Meta(ge=0, le=5)] = 2
    """Leading parts without gradient: 1 stem, 2 stem and res2, ... (detectron2's FREEZE_AT)."""
    stride_in_1x1: bool = False
    """Stages are entered with the stride in the first 1x1 convolution, not the 3x3, as in the
    ResNets of MSRA that detectron2's model zoo starts from. For torchvision's names only."""
    width: Annotated[float, Meta(gt=0.0, le=16.0)] = 1.0
    """Channel multiplier of torchvision ResNets (a narrow network for small runs)."""
    deform: Literal["none", "v1", "v2"] = "none"
    """Deformable 3x3 convolutions (arXiv 1703.06211, v2 1811.11168); they start as the rigid ones."""
    deform_stages: tuple[Annotated[int, Meta(ge=2, le=5)], ...] = (3, 4, 5)
    """Stages with deformable convolutions, 2 (stride 4) to 5 (stride 32)."""
    activation_checkpointing: bool = field(default=False, metadata=OPERATIONAL)
    """Compute features again in the backward pass, which saves memory and takes time."""


@dataclass(frozen=True)
class FpnSettings:
    """Feature pyramid network, levels P2 to P6."""

    channels: Channels = 256
    """Channels of every level."""
    norm: Literal["none", "gn", "bn", "sync_bn"] = "none"
    """Normalisation after each convolution."""


@dataclass(frozen=True)
class RpnSettings:
    """Region proposal network; sizes in pixels of the network input."""

    anchor_sizes: Annotated[tuple[Positive, ...], Meta(min_length=5, max_length=5)] = (
        32.0,
        64.0,
        128.0,
        256.0,
        512.0,
    )
    """Square root of an anchor's area on each level, P2 to P6."""
    aspect_ratios: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (0.5, 1.0, 2.0)
    """Height over width of the anchors at each location."""
    rounded_anchors: bool = False
    """Anchors rounded to whole pixels, as torchvision has them."""
    fitted_strides: bool = False
    """Anchors lie as far apart as the padded image's side over the map's, in whole pixels, as
    torchvision has them: on P6 that is less than 64 where no multiple of 64 is the side. Then they
    depend on what an image is batched with."""
    iou_negative: Share = 0.3
    """Anchors with a smaller IoU to every ground truth box are negative."""
    iou_positive: Share = 0.7
    """Anchors with at least this IoU to a ground truth box are positive."""
    batch_per_image: Count = 256
    """Anchors sampled per image for the losses."""
    positive_fraction: Share = 0.5
    """Largest share of positives among them."""
    pre_nms_train: Count = 2000
    """Proposals per level before NMS, in training."""
    post_nms_train: Count = 1000
    """Proposals per image after NMS, in training."""
    pre_nms_test: Count = 1000
    """Proposals per level before NMS, at inference."""
    post_nms_test: Count = 1000
    """Proposals per image after NMS, at inference."""
    nms_iou: Share = 0.7
    """Of two proposals of a level with a larger IoU, NMS keeps the better one."""
    smooth_l1_beta: NotNegative = 0.0
    """Offset below which the smooth L1 loss is quadratic; 0: plain L1."""
    ignore_missing: bool = True
    """Anchors on missing annotations leave the sampling pool (ours)."""


@dataclass(frozen=True)
class CascadeSettings:
    """The list of RoI heads. Length one is Mask R-CNN; three with mask flow is HTC
    (arXiv 1901.07518)."""

    ious: Annotated[tuple[Share, ...], Meta(min_length=1)] = (0.5,)
    """IoU from which a proposal is positive, of each head."""
    loss_weights: Annotated[tuple[NotNegative, ...], Meta(min_length=1)] = (1.0,)
    """Weight of the losses of each head."""
    box_weights: tuple[tuple[Positive, Positive, Positive, Positive], ...] = (
        (10.0, 10.0, 5.0, 5.0),
    )
    """Box coder weights of each stage: the reciprocals of mmdetection's stds."""
    mask_every_stage: bool = False
    """A mask head per stage (HTC, Cascade Mask R-CNN of mmdetection), or one on the last stage."""
    interleaved: bool = False
    """The mask head of a stage trains on the boxes that this stage has refined (HTC)."""
    mask_flow: bool = False
    """Features of a mask head flow into the next one's (HTC)."""
    average: Literal["logits", "scores"] = "logits"
    """What is averaged over stages at inference: logits (HTC, mmdetection) or scores (detectron2)."""


@dataclass(frozen=True)
class BoxHeadSettings:
    """Classification and box regression of RoIs."""

    pool_size: Annotated[int, Meta(ge=1, le=64)] = 7
    """Bins per side that an RoI is pooled to."""
    sampling_ratio: Few = 0
    """Samples per bin and side in RoIAlign; 0 adapts to the RoI."""
    aligned: bool = True
    """RoIAlign with the half-pixel shift; torchvision's detectors have none."""
    fc_channels: Channels = 1024
    """Width of the fully connected layers."""
    fc_layers: Annotated[int, Meta(ge=1, le=100)] = 2
    """Fully connected layers."""
    batch_per_image: Count = 512
    """RoIs sampled per image for the losses."""
    positive_fraction: Share = 0.25
    """Largest share of positives among them."""
    class_agnostic: bool = False
    """One regressed box for all categories (cascades) or one per category."""
    smooth_l1_beta: NotNegative = 0.0
    """Offset below which the smooth L1 loss is quadratic; 0: plain L1."""
    missing_ignore_iou: Share = 0.5
    """RoIs and anchors with at least this IoU to a missing annotation, not positive for a ground truth
    instance, are left out."""
    deform_pool: Literal["none", "v1", "v2"] = "none"
    """Deformable RoI pooling (v2 with modulation), or plain RoIAlign."""
    deform_samples: Annotated[int, Meta(ge=1, le=64)] = 8
    """Most samples per bin and side of deformable pooling, whose number grows with the cells per bin:
    8 lose no line in bins of up to 16 cells."""


@dataclass(frozen=True)
class MaskHeadSettings:
    """Masks of RoIs."""

    enabled: bool = True
    """Whether the model has a mask branch."""
    pool_size: Annotated[int, Meta(ge=1, le=64)] = 14
    """Bins per side that an RoI is pooled to; masks have twice as many pixels per side."""
    sampling_ratio: Few = 0
    """Samples per bin and side in RoIAlign; 0 adapts to the RoI."""
    convs: Few = 4
    """3x3 convolutions before the upsampling; 0: pooled features are upsampled as they are."""
    extra_convs: Few = 0
    """Further 3x3 convolutions that start as identities (the paper adds three in stage 2)."""
    channels: Channels = 256
    """Channels of the convolutions."""
    class_agnostic: bool = False
    """One mask for all categories or one per category."""
    normed_temperature: NotNegative = 0.0
    """As the classifier's, in the mask predictor."""
    loss: Literal["bce", "balanced"] = "bce"
    """``balanced``: Eq. 2 to 5."""
    dice_weight: NotNegative = 1.0
    """Weight of the dice loss in the balanced loss."""
    bce_weight: NotNegative = 1.0
    """Lambda of Eq. 2."""
    max_pixel_weight: Positive | None = None
    """Cap of w_i in Eq. 5; none in the paper."""
    assignment: Literal["scale", "fpn", "printed"] = "scale"
    """FPN level of a mask RoI: by box scale alone, Eq. 1 of arXiv 2009.01559 as meant, or as printed."""
    assignment_ratio: Literal["two_pass", "prior"] = "two_pass"
    """Where Eq. 1 gets the area ratio at inference."""
    boundary: bool = False
    """Boundary supervision: a branch that predicts the edges of masks."""
    boundary_weight: NotNegative = 1.0
    """Weight of the boundary loss."""
    deform_pool: Literal["none", "v1", "v2"] = "none"
    """Deformable RoI pooling (v2 with modulation), or plain RoIAlign."""
    deform_samples: Annotated[int, Meta(ge=1, le=64)] = 8
    """Most samples per bin and side of deformable pooling, whose number grows with the cells per bin:
    8 lose no line in bins of up to 16 cells."""
    mask_iou: bool = False
    """Mask scoring head (arXiv 1903.00241)."""
    mask_iou_weight: NotNegative = 1.0
    """Weight of the mask scoring loss, which is .5 d^2 per RoI as published."""
    mask_iou_channels: Channels = 256
    """Channels of the mask scoring head's convolutions."""
    mask_iou_fc_channels: Channels = 1024
    """Width of the mask scoring head's fully connected layers."""


@dataclass(frozen=True)
class DetectionSettings:
    """What becomes a detection at inference; as detectron2's LVIS models have it."""

    score_threshold: Share = 1e-4
    """Boxes that score less are left out."""
    nms_iou: Share = 0.5
    """Of two boxes of a category with a larger IoU, NMS keeps the better one."""
    max_detections: Count = 300
    """Detections kept per image, by score."""


@dataclass(frozen=True)
class ModelSettings:
    """A detector."""

    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    fpn: FpnSettings = field(default_factory=FpnSettings)
    rpn: RpnSettings = field(default_factory=RpnSettings)
    cascade: CascadeSettings = field(default_factory=CascadeSettings)
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    box: BoxHeadSettings = field(default_factory=BoxHeadSettings)
    mask: MaskHeadSettings = field(default_factory=MaskHeadSettings)
    detection: DetectionSettings = field(default_factory=DetectionSettings)
    canonical_size: Positive = 56.0
    """RoIs pool from P2 below twice this side, in network-input pixels (Eq. 1; 56 at short edge 800)."""
    image_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Subtracted from images: RGB, of 0 to 255. With timm's own weights those that they were trained
    with, unless mean or deviation is set."""
    image_std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)
    """What images are divided by afterwards: RGB."""
