"""When a detection on a training image is taken for a missing annotation."""

from dataclasses import dataclass
from typing import Literal

from lvistk.config.ranges import Share


@dataclass(frozen=True)
class MissingRule:
    """When a detection counts as a missing annotation (arXiv 2009.01559, section 2.3)."""

    rule: Literal["paper", "federated"] = "federated"
    """federated: only categories that the image's lists allow to have been missed; paper: all."""
    score: Share = 0.5
    """Smallest score of a missing annotation (ours)."""
    not_exhaustive_score: Share | None = 0.3
    """With rule federated, the same for categories that the image lists as not exhaustively annotated:
    instances of them are known to be missing (ours). Not set: as score."""
    max_iou: Share = 0.3
    """A detection with at most this IoU to every annotated box counts as overlapping none (ours)."""
    max_iof: Share = 1.0
    """Largest share of a detection's box that may lie in one annotated box; 1: any."""
    other_iou: Share | None = None
    """IoU up to which a detection of at least other_score may overlap annotations of other categories, as a
    jersey does its wearer; not set: max_iou."""
    other_score: Share = 0.8
    """Smallest score of a detection that overlaps another category by more than max_iou."""
