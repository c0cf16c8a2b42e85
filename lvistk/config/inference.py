"""Settings of inference: views of an image, how their detections are merged, how images are run."""

from dataclasses import dataclass, field
from typing import Literal

from lvistk.config.ranges import (
    KEPT,
    OPERATIONAL,
    BelowOne,
    Count,
    Lengths,
    Natural,
    NotNegative,
    Positive,
    Share,
)

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded by default (Pillow's limit too)."""


@dataclass(frozen=True)
class ViewSettings:
    """The sizes and flips that an image is run at; lengths in pixels."""

    short_edges: Lengths = (800,)
    """Length of the shorter side in each view."""
    long_edge: Count = 1333
    """The longer side is at most so long."""
    flip: bool = False
    """Each view once more, flipped horizontally."""
    valid_ranges: tuple[tuple[NotNegative, NotNegative], ...] = ()
    """Smallest and largest square root of box area, in pixels of the original image, that each
    short edge may contribute; empty: all. ``inf`` is a number."""


@dataclass(frozen=True)
class FreeViewSettings:
    """Views that follow the sizes that the model was trained at, unless they are set; lengths in pixels."""

    short_edges: tuple[Count, ...] = ()
    """Length of the shorter side in each view; empty: the training's largest, or six around it with tta."""
    long_edge: Natural = 0
    """The longer side is at most so long; 0: as in the training, or 1.75 times that with tta."""
    flip: bool = False
    """Each view once more, flipped horizontally; tta flips unless short_edges are set."""
    valid_ranges: tuple[tuple[NotNegative, NotNegative], ...] = ()
    """Smallest and largest square root of box area, in pixels of the original image, that each
    short edge may contribute; empty: all. ``inf`` is a number."""


@dataclass(frozen=True)
class MergeSettings:
    """How detections of several views become one set (arXiv 2009.01559, testing)."""

    score_threshold: BelowOne = 1e-4
    """Candidates that score less are left out."""
    pre_nms_per_view: Count = 10_000
    """Candidates kept per view, by score, before NMS."""
    nms_iou: Share = 0.7
    """Of two boxes of a category with a larger IoU, NMS keeps the better one."""
    soft_nms: Literal["gaussian", "linear", "none"] = "gaussian"
    """How scores of overlapping boxes fall after NMS (Soft-NMS); none: not at all."""
    soft_nms_sigma: Positive = 0.5
    """Width of Gaussian Soft-NMS, in squared IoU."""
    soft_nms_iou: Share = 0.3
    """IoU from which linear Soft-NMS lowers scores."""
    soft_nms_min_score: BelowOne = 1e-4
    """Detections whose score falls below are left out."""
    rare_boost: Positive = 1.0
    """Factor on the scores of rare categories; the paper gives none."""
    count_exponent: NotNegative = 0.0
    """Scores are multiplied by (median training images of a category / those of their category) to this
    power: a boost by count. 0: none."""
    category_floor: Natural = 0
    """The best candidates of each category in each view, so many, stay whatever pre_nms_per_view says."""
    mask_source: Literal["selected", "average", "found"] = "selected"
    """Masks from the view that suits box scale and area ratio, from all, or from the view that the
    box comes from."""
    mask_sides: tuple[Positive, Positive, Positive] = (224.0, 448.0, 896.0)
    """Wanted box side in the view, in pixels, for area ratios of .5 or more, .25 to .5, below (ours)."""
    max_detections: Count = 300
    """Detections kept per image, by score."""
    max_per_category: Natural = 0
    """Detections kept per category over all images, by box or by mask score; 0: all. For AP-fixed 10000,
    with a max_detections of 1000 or more."""
    mask_threshold: BelowOne = 0.5
    """Pixels of a larger mask probability belong to the mask."""


PLAIN_MERGE = MergeSettings(nms_iou=0.5, soft_nms="none", mask_source="found")
"""Of one view that a person looks at: NMS alone, since Soft-NMS keeps overlapping boxes at lower scores."""


READERS = 2
"""Threads that read images where the processor has nothing else to do."""


@dataclass(frozen=True)
class PredictSettings:
    """How images are run through a model and where detections go."""

    batch_size: Count = field(default=1, metadata=OPERATIONAL)
    """Images that go through the model together."""
    workers: Natural | None = field(default=None, metadata=OPERATIONAL)
    """Threads that read and resize images ahead; with any, another one pastes masks behind the model. By
    default 2 beside a GPU, and 0 on a CPU, whose cores the model keeps busy."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of convolutions and matrix products."""
    channels_last: bool = False
    """The memory layout that half precision convolutions want."""
    feature_memory_mb: Natural = field(default=4096, metadata=OPERATIONAL)
    """Feature maps of views kept for masks, in MB; beyond it they are computed twice. 0: none is kept."""
    shard_images: Count = field(default=500, metadata=KEPT)
    """Images per shard file; a shard that is there is complete."""
    max_unreadable: Share = field(default=0.01, metadata=OPERATIONAL)
    """Share of the images that may be broken or missing. They are left out and listed in
    unreadable.json; more of them end the run. One is allowed unless this is 0."""
    max_pixels: Count = MAX_PIXELS
    """An image whose header says more pixels counts as broken: it is not decoded (Pillow's limit)."""

    def workers_on(self, device: str) -> int:
        """``workers``, for a model on this type of device."""
        if self.workers is not None:
            return self.workers
        return 0 if device == "cpu" else READERS
