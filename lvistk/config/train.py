"""Settings of data, optimiser and training loop."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from lvistk.config.inference import MAX_PIXELS
from lvistk.config.ranges import (
    CHANGEABLE,
    OPERATIONAL,
    BelowOne,
    Count,
    Degrees,
    Lengths,
    Natural,
    NotNegative,
    Share,
)

Milestones = tuple[Count, ...]


@dataclass(frozen=True)
class AugmentSettings:
    """One affine matrix per image or mosaic tile; lengths in pixels of the network input."""

    short_edges: Lengths = (640, 672, 704, 736, 768, 800)
    """Lengths of the shorter side, of which each sample draws one."""
    short_edge_mode: Literal["choice", "range"] = "choice"
    """``range``: any length between the first and the last (400 to 1400 for large models)."""
    long_edge: Count = 1333
    """The longer side is at most so long."""
    crop: Natural = 0
    """Side of a square that a larger image is cut to at random after scaling, so that images with small
    objects are seen large in a step that costs little; 0: whole images."""
    flip: Share = 0.5
    """Probability of a horizontal flip."""
    rotate_probability: Share = 0.0
    """Probability of a rotation."""
    rotate_degrees: Degrees = 15.0
    """Largest angle, in degrees; the paper gives none (ours)."""
    mosaic_probability: Share = 0.0
    """Probability that a sample is a mosaic of four images."""
    mosaic_size: tuple[Count, Count] = (1280, 1280)
    """Height and width of the canvas."""
    mosaic_partners: Literal["repeat_factor", "uniform"] = "repeat_factor"
    """The paper's trick draws the three other images by repeat factor."""
    min_area: NotNegative = 1.0
    """Instances of a smaller area, in square pixels, are dropped."""
    min_kept: Share = 0.1
    """Instances clipped below this share of their area are dropped (ours)."""
    tight_boxes: bool = True
    """Boxes from the warped polygon (the paper's trick), or the envelope of the warped box."""
    colour: Share = 0.0
    """Strength of brightness, contrast, saturation and hue jitter; 0: none."""
    instaboost_probability: Share = 0.0
    """Probability that the instances of an image are moved a little within it (InstaBoost)."""
    copy_paste_probability: Share = 0.0
    """Probability that instances of another image are pasted in."""
    strong_epochs: Natural = 0
    """Mosaic, rotation, InstaBoost and copy-paste are drawn in so many epochs from the first on, and in none
    after them, so that training ends on images as inference sees them (YOLOX has 15 such epochs of 300);
    0: in all epochs."""


@dataclass(frozen=True)
class SamplerSettings:
    """Which images an epoch holds, and how often."""

    repeat: Literal["ceil", "stochastic", "none"] = "ceil"
    """Repeat factor sampling: mmdetection's ceil by epoch, or detectron2's stochastic rounding."""
    repeat_images: NotNegative = field(default=100.0, metadata={"was": "repeat_photos"})
    """Categories of fewer images are repeated (on LVIS v1 t = .001)."""
    repeat_fraction: Share | None = None
    """t itself, a share of the training images; replaces ``repeat_images`` when given."""
    aspect_grouping: bool = True
    """Batches hold wide images or high ones, not both, which saves padding."""


@dataclass(frozen=True)
class LoaderSettings:
    """How samples are made."""

    workers: Natural = field(default=2, metadata=OPERATIONAL)
    """Processes that read and augment images; 0: the training process does it."""
    prefetch: Count = field(default=2, metadata=OPERATIONAL)
    """Batches that each worker makes ahead."""
    defects: Literal["fail", "skip"] = field(default="fail", metadata=CHANGEABLE)
    """What training does with broken annotations and images."""
    max_pixels: Count = MAX_PIXELS
    """An image whose header says more pixels is broken: it is not decoded (Pillow's limit)."""


@dataclass(frozen=True)
class SelfTrainSettings:
    """How missing annotations and pseudo-labelled images enter training (arXiv 2009.01559,
    self-training)."""

    missing_score: Share = 0.0
    """Missing annotations that score less are not used; 0: all that filter-missing chose."""
    pseudo_by: Literal["all", "group", "category"] = "all"
    """What has a threshold of its own: all categories together, each frequency group, or each category."""
    pseudo_score: Share = 0.5
    """Pseudo labels below are not used (ours); with ``group``, that of categories without a group."""
    pseudo_group_scores: tuple[Share, Share, Share] = (0.3, 0.4, 0.5)
    """The same for rare, common and frequent categories (ours)."""
    pseudo_quantile: Share = 0.8
    """With ``category``, the share of each category's stored labels that is not used, those of the lowest
    scores: rare categories keep as large a part as frequent ones (ours)."""
    pseudo_per_image: Natural = 0
    """Pseudo labels used per image, those of the highest scores; 0: all."""
    pseudo_images_per_epoch: Natural = 10_000
    """Pseudo-labelled images that join each epoch."""
    pseudo_weight: NotNegative = 0.5
    """Loss weight of a pseudo-labelled image, the paper's lambda (ours)."""
    pseudo_score_weight: bool = False
    """Losses of boxes and masks on a pseudo label count times its score."""
    pseudo_masks: bool = True
    """Mask losses count for pseudo-labelled images; else boxes and categories alone."""


@dataclass(frozen=True)
class FeatureSettings:
    """Features of RoIs pooled once and kept on disk, for heads that learn on a frozen representation.

    Per image and view: RoIs times channels times bins (box 7 x 7, masks 14 x 14 of the positive ones), or
    times the width of the shared layers where ``freeze`` names ``box_features``.
    """

    views: Natural = 0
    """Augmented views of each image that are pooled; each later epoch takes one of them again. With as
    many as epochs nothing is lost; 0: nothing is kept, every epoch runs the whole model."""
    precision: Literal["fp32", "fp16"] = "fp16"
    """Of the features on disk."""


@dataclass(frozen=True)
class OptimSettings:
    """The optimiser and its learning rate at each step."""

    kind: Literal["sgd", "adamw"] = "sgd"
    """The optimiser."""
    lr: NotNegative = field(default=0.02, metadata=CHANGEABLE)
    """Learning rate after the warm-up; 0: nothing is learnt, the weights stay what they start from."""
    lr_batch: Natural = field(default=16, metadata=CHANGEABLE)
    """The batch that ``lr`` is meant for; other batches scale it linearly. 0: no scaling."""
    momentum: BelowOne = field(default=0.9, metadata=CHANGEABLE)
    """Of SGD."""
    weight_decay: NotNegative = field(default=1e-4, metadata=CHANGEABLE)
    """Of all parameters but those of normalisation layers."""
    norm_weight_decay: NotNegative = field(default=0.0, metadata=CHANGEABLE)
    """Of the parameters of normalisation layers."""
    offset_lr_factor: NotNegative = 1.0
    """Factor on the rate of the layers that predict the offsets of deformable convolutions (mmdetection's
    ``dcn_offset_lr_mult``). Fixed for a run."""
    clip_norm: NotNegative = field(default=0.0, metadata=CHANGEABLE)
    """Largest gradient norm; 0 does not clip."""
    warmup_steps: Natural = field(default=500, metadata=CHANGEABLE)
    """Steps in which the rate rises linearly to ``lr``."""
    warmup_factor: Share = field(default=0.001, metadata=CHANGEABLE)
    """Share of ``lr`` at the first step."""
    schedule: Literal["step", "cosine"] = field(default="step", metadata=CHANGEABLE)
    """The rate falls at ``step_epochs``, or along a cosine to zero at the end."""
    step_epochs: Milestones = field(default=(16, 22), metadata=CHANGEABLE)
    """Epochs at whose end the rate is multiplied by ``step_factor``."""
    step_factor: Annotated[float, Meta(gt=0.0, le=1.0)] = field(default=0.1, metadata=CHANGEABLE)
    """Factor on the rate at each of ``step_epochs``."""


@dataclass(frozen=True)
class LoopSettings:
    """How long training runs, in which batches, and what it writes on the way."""

    epochs: Count = field(default=24, metadata=CHANGEABLE)
    """Passes over the images, repeats included."""
    batch_size: Count = 16
    """Images per step over all devices. Fixed for a run: its steps and epochs are counted in it."""
    accumulate: Count = field(default=1, metadata=CHANGEABLE)
    """Parts that a batch is run in, to save memory."""
    precision: Literal["fp32", "bf16", "fp16"] = field(default="fp32", metadata=CHANGEABLE)
    """Of convolutions and matrix products; weights and losses stay fp32."""
    channels_last: bool = field(default=False, metadata=CHANGEABLE)
    """The memory layout that half precision convolutions want."""
    compile: bool = field(default=False, metadata=CHANGEABLE)
    """Compile backbone and pyramid with torch.compile."""
    ema_decay: BelowOne = 0.0
    """Decay of the averaged weights that are kept as the model; 0 keeps none."""
    checkpoint_steps: Count = field(default=500, metadata=OPERATIONAL)
    """Steps between checkpoints."""
    checkpoints_kept: Count = field(default=2, metadata=OPERATIONAL)
    """Newest checkpoints that are kept."""
    log_steps: Count = field(default=20, metadata=OPERATIONAL)
    """Steps between lines of metrics.jsonl."""
    evaluate_epochs: Natural = field(default=0, metadata=OPERATIONAL)
    """Evaluate on the validation split every so many epochs; 0: never."""
    tensorboard: bool = field(default=False, metadata=OPERATIONAL)
    """Also write the metrics for TensorBoard (needs the extra ``lvistk[tensorboard]``)."""
    tracker: Literal["none", "wandb", "mlflow", "trackio"] = field(
        default="none", metadata=OPERATIONAL
    )
    """Also send the metrics to Weights & Biases, MLflow or trackio (extras of these names). Their own
    environment variables say where to and under which project."""
    max_steps: Natural = field(default=0, metadata=CHANGEABLE)
    """Stop after so many steps; 0 runs all epochs."""

    @property
    def part_size(self) -> int:
        """Images of one of the ``accumulate`` parts of a batch, over all devices."""
        return max(1, self.batch_size // self.accumulate)
