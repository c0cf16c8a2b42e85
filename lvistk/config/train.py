"""Settings of data, optimiser and training loop."""

from dataclasses import dataclass, field
from typing import Literal

from lvistk.config.inference import MAX_PIXELS


@dataclass(frozen=True)
class AugmentSettings:
    """One affine matrix an image or mosaic tile; lengths in pixels of the network input."""

    short_edges: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    short_edge_mode: Literal["choice", "range"] = "choice"
    """``range``: any length between the first and the last (400 to 1400 for large models)."""
    long_edge: int = 1333
    flip: float = 0.5
    rotate_probability: float = 0.0
    rotate_degrees: float = 15.0
    """Largest angle; the paper gives none (ours)."""
    mosaic_probability: float = 0.0
    mosaic_size: tuple[int, int] = (1280, 1280)
    """Height and width of the canvas."""
    mosaic_partners: Literal["repeat_factor", "uniform"] = "repeat_factor"
    """The paper's trick draws the three other images by repeat factor."""
    min_area: float = 1.0
    min_kept: float = 0.1
    """Instances clipped below this share of their area are dropped (ours)."""
    tight_boxes: bool = True
    """Boxes from the warped polygon (the paper's trick), or the envelope of the warped box."""
    colour: float = 0.0
    """Strength of brightness, contrast, saturation and hue jitter, 0 to 1."""
    instaboost_probability: float = 0.0
    copy_paste_probability: float = 0.0


@dataclass(frozen=True)
class SamplerSettings:
    repeat: Literal["ceil", "stochastic", "none"] = "ceil"
    """Repeat factor sampling: mmdetection's ceil by epoch, or detectron2's stochastic rounding."""
    repeat_images: float = field(default=100.0, metadata={"was": "repeat_photos"})
    """Categories of fewer images are repeated (on LVIS v1 t = .001)."""
    repeat_fraction: float | None = None
    """t itself, a share of the training images; replaces ``repeat_images`` when given."""
    aspect_grouping: bool = True


@dataclass(frozen=True)
class LoaderSettings:
    workers: int = 2
    prefetch: int = 2
    defects: Literal["fail", "skip"] = "fail"
    """What training does with broken annotations and images."""
    max_pixels: int = MAX_PIXELS
    """An image whose header says more pixels is broken: it is not decoded (Pillow's limit)."""


@dataclass(frozen=True)
class SelfTrainSettings:
    """How missing annotations and pseudo-labelled images enter training (arXiv 2009.01559,
    self-training)."""

    missing_score: float = 0.5
    """Detections below are not taken for missing annotations (ours)."""
    pseudo_score: float = 0.5
    """Pseudo labels below are not used (ours)."""
    pseudo_images_per_epoch: int = 10_000
    pseudo_weight: float = 0.5
    """Loss weight of a pseudo-labelled image (ours)."""


@dataclass(frozen=True)
class OptimSettings:
    kind: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.02
    lr_batch: int = 16
    """The batch that ``lr`` is meant for; other batches scale it linearly. 0: no scaling."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    norm_weight_decay: float = 0.0
    clip_norm: float = 0.0
    """Largest gradient norm; 0 does not clip."""
    warmup_steps: int = 500
    warmup_factor: float = 0.001
    schedule: Literal["step", "cosine"] = "step"
    step_epochs: tuple[int, ...] = (16, 22)
    step_factor: float = 0.1


@dataclass(frozen=True)
class LoopSettings:
    epochs: int = 24
    batch_size: int = 16
    """Images a step over all devices."""
    accumulate: int = 1
    """Parts that a batch is run in, to save memory."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    ema_decay: float = 0.0
    """Decay of the averaged weights that are kept as the model; 0 keeps none."""
    checkpoint_steps: int = 500
    checkpoints_kept: int = 2
    log_steps: int = 20
    evaluate_epochs: int = 0
    """Evaluate on the validation split every so many epochs; 0 never."""
    tensorboard: bool = False
    max_steps: int = 0
    """Stop after so many steps; 0 runs all epochs."""
