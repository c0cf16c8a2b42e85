"""Settings of a model: all that is needed to build it again from its weights."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class BackboneSettings:
    """What turns an image into feature maps of stride 4, 8, 16 and 32."""

    library: Literal["torchvision", "timm"] = "torchvision"
    name: str = "resnet50"
    """Name in that library; ``timm`` needs the extra ``lvistk[timm]``."""
    weights: str = ""
    """Empty: random. ``imagenet``: the library's own download. ``lvistk:NAME``: a file that ships with
    lvistk. Otherwise a local file (.pth, .pt, .safetensors) in torchvision's, timm's or lvistk's names."""
    norm: Literal["frozen_bn", "bn", "sync_bn", "gn"] = "frozen_bn"
    frozen_stages: int = 2
    """Leading parts without gradient: 1 stem, 2 stem and res2, ... (detectron2's FREEZE_AT)."""
    stride_in_1x1: bool = False
    """Stages are entered with the stride in the first 1x1 convolution, not the 3x3, as in the
    ResNets of MSRA that detectron2's model zoo starts from. For torchvision's names only."""
    width: float = 1.0
    """Channel multiplier of torchvision ResNets (a narrow network for small runs)."""
    deform: Literal["none", "v1", "v2"] = "none"
    """Deformable 3x3 convolutions (arXiv 1703.06211, v2 1811.11168); they start as the rigid ones."""
    deform_stages: tuple[int, ...] = (3, 4, 5)
    activation_checkpointing: bool = False


@dataclass(frozen=True)
class FpnSettings:
    channels: int = 256
    norm: Literal["none", "gn", "bn", "sync_bn"] = "none"


@dataclass(frozen=True)
class RpnSettings:
    """Region proposal network; sizes in pixels of the network input."""

    anchor_sizes: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)
    """One square root of area a level, P2 to P6."""
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    rounded_anchors: bool = False
    """Anchors rounded to whole pixels, as torchvision has them."""
    fitted_strides: bool = False
    """Anchors lie as far apart as the padded image's side over the map's, in whole pixels, as
    torchvision has them: on P6 that is less than 64 where no multiple of 64 is the side. Then they
    depend on what an image is batched with."""
    iou_negative: float = 0.3
    iou_positive: float = 0.7
    batch_per_image: int = 256
    positive_fraction: float = 0.5
    pre_nms_train: int = 2000
    post_nms_train: int = 1000
    pre_nms_test: int = 1000
    post_nms_test: int = 1000
    nms_iou: float = 0.7
    smooth_l1_beta: float = 0.0
    """0 is L1."""
    ignore_missing: bool = True
    """Anchors on missing annotations leave the sampling pool (ours)."""


@dataclass(frozen=True)
class CascadeSettings:
    """The list of RoI heads. Length one is Mask R-CNN; three with mask flow is HTC
    (arXiv 1901.07518)."""

    ious: tuple[float, ...] = (0.5,)
    loss_weights: tuple[float, ...] = (1.0,)
    box_weights: tuple[tuple[float, float, float, float], ...] = ((10.0, 10.0, 5.0, 5.0),)
    """Box coder weights of each stage: the reciprocals of mmdetection's stds."""
    mask_every_stage: bool = False
    """A mask head a stage (HTC, Cascade Mask R-CNN of mmdetection), or one on the last stage."""
    interleaved: bool = False
    """The mask head of a stage trains on the boxes that this stage has refined (HTC)."""
    mask_flow: bool = False
    """Features of a mask head flow into the next one's (HTC)."""
    average: Literal["logits", "scores"] = "logits"
    """What is averaged over stages at inference: logits (HTC, mmdetection) or scores (detectron2)."""


@dataclass(frozen=True)
class ClassifierSettings:
    """What the box head predicts about categories, and how it is trained."""

    kind: Literal["softmax", "eql", "eql_v2", "seesaw", "federated", "group_softmax"] = "eql"
    normed_temperature: float = 0.0
    """Factor on the cosine of features and weights, which replaces their product (20 in the Seesaw
    paper's models); 0: the plain product."""
    eql_tail_images: float = field(default=109.0, metadata={"was": "eql_tail_photos"})
    """Categories of at most so many training images are tail: .0011 of LVIS v1's, as in the
    configurations of EQL's first author."""
    eql_tail_fraction: float | None = None
    """The same as a share of the annotated images; replaces ``eql_tail_images`` when given."""
    eql_negative_clause: bool = False
    """Verified negatives push a tail category down all the same (EQL paper 4.2)."""
    prior_probability: float = 0.001
    """Initial probability of a sigmoid classifier (bias), as in EQL's code."""
    eql_v2_gamma: float = 12.0
    eql_v2_mu: float = 0.8
    eql_v2_alpha: float = 4.0
    seesaw_p: float = 0.8
    seesaw_q: float = 2.0
    federated_categories: int = 50
    federated_power: float = 0.5
    group_edges: tuple[int, ...] = (10, 100, 1000)
    """Lower bounds of groups 2, 3, ... in training instances (arXiv 2006.10408)."""
    group_beta: float = 8.0
    """Sampled "others" for each positive of a group."""
    group_unseen: Literal["zero", "member"] = "zero"
    """Categories without a training example under group softmax: ``zero``, they join no group and
    are never detected; ``member``, members of the rarest group that are never positive."""
    group_start: Literal["stage_1", "anew"] = "stage_1"
    """What group softmax starts from where ``finetune`` puts it in another classifier's place: that
    one's rows, or random weights."""


@dataclass(frozen=True)
class BoxHeadSettings:
    pool_size: int = 7
    sampling_ratio: int = 0
    """Samples a bin and side in RoIAlign; 0 adapts to the RoI."""
    aligned: bool = True
    """RoIAlign with the half-pixel shift; torchvision's detectors have none."""
    fc_channels: int = 1024
    fc_layers: int = 2
    batch_per_image: int = 512
    positive_fraction: float = 0.25
    class_agnostic: bool = False
    """One regressed box for all categories (cascades) or one a category."""
    smooth_l1_beta: float = 0.0
    missing_ignore_iou: float = 0.5
    """RoIs and anchors with at least this IoU to a missing annotation, not positive for a ground truth
    instance, are left out."""
    deform_pool: Literal["none", "v1", "v2"] = "none"
    deform_samples: int = 8
    """Most samples per bin and side of deformable pooling, whose number grows with the cells per bin:
    8 lose no line in bins of up to 16 cells."""


@dataclass(frozen=True)
class MaskHeadSettings:
    enabled: bool = True
    pool_size: int = 14
    sampling_ratio: int = 0
    convs: int = 4
    extra_convs: int = 0
    """Further 3x3 convolutions that start as identities (the paper adds three in stage 2)."""
    channels: int = 256
    class_agnostic: bool = False
    normed_temperature: float = 0.0
    """As the classifier's, in the mask predictor."""
    loss: Literal["bce", "balanced"] = "bce"
    """``balanced``: Eq. 2 to 5."""
    dice_weight: float = 1.0
    bce_weight: float = 1.0
    """Lambda of Eq. 2."""
    max_pixel_weight: float | None = None
    """Cap of w_i in Eq. 5; none in the paper."""
    assignment: Literal["scale", "fpn", "printed"] = "scale"
    """FPN level of a mask RoI: by box scale alone, Eq. 1 of arXiv 2009.01559 as meant, or as printed."""
    assignment_ratio: Literal["two_pass", "prior"] = "two_pass"
    """Where Eq. 1 gets the area ratio at inference."""
    boundary: bool = False
    boundary_weight: float = 1.0
    deform_pool: Literal["none", "v1", "v2"] = "none"
    deform_samples: int = 8
    """Most samples per bin and side of deformable pooling, whose number grows with the cells per bin:
    8 lose no line in bins of up to 16 cells."""
    mask_iou: bool = False
    """Mask scoring head (arXiv 1903.00241)."""
    mask_iou_weight: float = 1.0


@dataclass(frozen=True)
class DetectionSettings:
    """What becomes a detection at inference; as detectron2's LVIS models have it."""

    score_threshold: float = 1e-4
    nms_iou: float = 0.5
    max_detections: int = 300


@dataclass(frozen=True)
class ModelSettings:
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    fpn: FpnSettings = field(default_factory=FpnSettings)
    rpn: RpnSettings = field(default_factory=RpnSettings)
    cascade: CascadeSettings = field(default_factory=CascadeSettings)
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    box: BoxHeadSettings = field(default_factory=BoxHeadSettings)
    mask: MaskHeadSettings = field(default_factory=MaskHeadSettings)
    detection: DetectionSettings = field(default_factory=DetectionSettings)
    canonical_size: float = 56.0
    """Box side, in network-input pixels, below which RoIs pool from P2 (Eq. 1; 56 at short edge 800)."""
    image_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    image_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """RGB, of 0 to 255."""
