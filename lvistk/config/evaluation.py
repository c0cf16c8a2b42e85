"""Settings of an evaluation."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from lvistk.config.ranges import OPERATIONAL, OUTPUT_FORM, Ascending, Count, Natural, Seed, Share


@dataclass(frozen=True)
class EvaluateSettings:
    seed: Seed = 0
    """Not used: an evaluation draws nothing."""
    kinds: Annotated[tuple[Literal["segm", "bbox"], ...], Meta(min_length=1)] = ("segm", "bbox")
    """What is evaluated where the results have it; results without masks have boxes only."""
    max_detections: Natural = 300
    """Detections that count per image, by score; 0: all."""
    area: Literal["official", "mask", "box"] = "official"
    """Which area of a detection APs, APm and APl of masks go by. Official (lvis-api): the box's where
    the first detection of the file has a bbox, else the mask's. metrics.json says which it was."""
    boundary: bool = True
    """Boundary AP: the smaller of mask IoU and boundary IoU (arXiv 2103.16562)."""
    unknown_images: Literal["refuse", "drop"] = "refuse"
    """Detections in images that are not in the ground truth: an error, as in lvis-api, or left out and
    counted."""
    fixed: bool = True
    """AP-fixed: no limit per image, but one per category (arXiv 2102.01066)."""
    fixed_detections: Count = 10_000
    """Detections per category that count for AP-fixed."""
    area_ratio_edges: Annotated[tuple[Share, ...], Ascending()] = (0.25, 0.5, 0.75)
    """Edges of the ranges of mask area over box area that AP is split by."""
    curves: bool = field(default=False, metadata=OUTPUT_FORM)
    """Also write the full precision and recall arrays, curves.npz."""
    threads: Natural = field(default=0, metadata=OPERATIONAL)
    """Threads that evaluate; 0: one per core."""
