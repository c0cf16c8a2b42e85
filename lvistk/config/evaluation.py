"""Settings of an evaluation."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EvaluateSettings:
    seed: int = 0
    kinds: tuple[Literal["segm", "bbox"], ...] = ("segm", "bbox")
    """What is evaluated where the results have it; results without masks have boxes only."""
    max_detections: int = 300
    area: Literal["official", "mask", "box"] = "official"
    """Which area of a detection APs, APm and APl of masks go by. Official (lvis-api): the box's where
    the first detection of the file has a bbox, else the mask's. metrics.json says which it was."""
    boundary: bool = True
    """Boundary AP: the smaller of mask IoU and boundary IoU (arXiv 2103.16562)."""
    unknown_images: Literal["refuse", "drop"] = "refuse"
    """Detections in images that the ground truth has not: an error, as in lvis-api, or left out and
    counted."""
    fixed: bool = True
    """AP-fixed: no limit an image, 10,000 detections a category (arXiv 2102.01066)."""
    fixed_detections: int = 10_000
    area_ratio_edges: tuple[float, ...] = (0.25, 0.5, 0.75)
    curves: bool = False
    """Write the full precision and recall arrays."""
    threads: int = 0
    """0: one a core."""
