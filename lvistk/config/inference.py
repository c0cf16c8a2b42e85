"""Settings of inference: views of an image, how their detections are merged, how images are run."""

from dataclasses import dataclass
from typing import Literal

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded by default (Pillow's limit too)."""


@dataclass(frozen=True)
class ViewSettings:
    """The sizes and flips that an image is seen at; lengths in pixels."""

    short_edges: tuple[int, ...] = (800,)
    long_edge: int = 1333
    flip: bool = False
    valid_ranges: tuple[tuple[float, float], ...] = ()
    """Smallest and largest square root of box area, in pixels of the original image, that each
    short edge may contribute; empty: all. ``inf`` is a number."""


@dataclass(frozen=True)
class MergeSettings:
    """How detections of several views become one set (arXiv 2009.01559, testing)."""

    score_threshold: float = 1e-4
    pre_nms_per_view: int = 10_000
    """Candidates kept a view, by score, before NMS."""
    nms_iou: float = 0.7
    soft_nms: Literal["gaussian", "linear", "none"] = "gaussian"
    soft_nms_sigma: float = 0.5
    soft_nms_iou: float = 0.3
    """Threshold of linear Soft-NMS."""
    soft_nms_min_score: float = 1e-4
    rare_boost: float = 1.0
    """Factor on the scores of rare categories; the paper gives none."""
    mask_source: Literal["selected", "average", "found"] = "selected"
    """Masks from the view that suits box scale and area ratio, from all, or from the finding view."""
    mask_sides: tuple[float, float, float] = (224.0, 448.0, 896.0)
    """Wanted box side in the view for area ratios of .5 or more, .25 to .5, below (ours)."""
    max_detections: int = 300
    mask_threshold: float = 0.5


@dataclass(frozen=True)
class PredictSettings:
    """How images are run through a model and where detections go."""

    batch_size: int = 1
    """Images that go through the model together."""
    workers: int = 2
    """Threads that read and resize images ahead; 0: none."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    feature_memory_mb: int = 4096
    """Feature maps of views kept for masks, in MB; beyond it they are computed twice."""
    shard_images: int = 500
    """Images per shard file; a shard that is there is complete."""
    max_unreadable: float = 0.01
    """Share of the images that may be broken or missing (0 to 1). They are left out and listed in
    unreadable.json; more of them end the run. One is allowed unless this is 0."""
    max_pixels: int = MAX_PIXELS
    """An image whose header says more pixels counts as broken: it is not decoded (Pillow's limit)."""
