"""Missing annotations: detections on training images that no annotation explains.

LVIS leaves instances unannotated, and a proposal on one of them would be taught as background. The paper
takes detections "without overlap" with the ground truth for such instances and ignores proposals on them
(section 2.3). It gives no thresholds; docs/filter-missing.md has those that were measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from lvistk.config.missing import MissingRule
from lvistk.structures.detections import Detections


@dataclass(eq=False)
class Evidence:
    """What speaks for each of N detections being a missing annotation, and against.

    scores: (N,) float32
    same_iou: (N,) float32, largest IoU with an annotated box of the same category; 0 without any
    other_iou: (N,) float32, largest IoU with an annotated box of another category; 0 without any
    iof: (N,) float32, largest share of the detection's box that lies in one annotated box
    possible: (N,) bool, whether the image's lists allow that an instance of the category was missed
    not_exhaustive: (N,) bool, whether the image lists the category as not exhaustively annotated
    """

    scores: np.ndarray
    same_iou: np.ndarray
    other_iou: np.ndarray
    iof: np.ndarray
    possible: np.ndarray
    not_exhaustive: np.ndarray

    @classmethod
    def concatenate(cls, several: "Sequence[Evidence]") -> "Evidence":
        """The evidence of several images, one after the other."""
        several = [_NOTHING, *several]
        return cls(
            *(
                np.concatenate([getattr(one, field.name) for one in several])
                for field in fields(cls)
            )
        )


_NOTHING = Evidence(*([np.zeros(0, np.float32)] * 4), *([np.zeros(0, bool)] * 2))


@dataclass(frozen=True, eq=False)
class KnownOfImage:
    """What is annotated in an image.

    boxes: (G, 4) xyxy in pixels
    labels: (G,)
    negative: labels of categories verified absent
    not_exhaustive: labels of categories of which instances may be unannotated
    """

    boxes: np.ndarray
    labels: np.ndarray
    negative: np.ndarray
    not_exhaustive: np.ndarray


def evidence(detections: Detections, known: KnownOfImage) -> Evidence:
    """The evidence about the N detections of an image; without annotations all overlaps are 0."""
    labels = detections.labels
    iou, iof = overlaps(detections.boxes, known.boxes)  # (N, G)
    same = labels[:, None] == known.labels
    impossible = impossible_labels(
        negative=known.negative, positive=known.labels, not_exhaustive=known.not_exhaustive
    )
    return Evidence(
        scores=detections.scores,
        same_iou=(iou * same).max(axis=1, initial=0.0),
        other_iou=(iou * ~same).max(axis=1, initial=0.0),
        iof=iof.max(axis=1, initial=0.0),
        possible=~np.isin(labels, impossible),
        not_exhaustive=np.isin(labels, known.not_exhaustive),
    )


def is_missing(evidence: Evidence, rule: MissingRule) -> np.ndarray:
    """Which of N detections are taken for missing annotations: bool (N,)."""
    wanted = np.where(evidence.not_exhaustive, listed_score(rule), rule.score)
    beside_other = evidence.other_iou > rule.max_iou
    if rule.other_iou is None:
        free = ~beside_other
    else:
        wanted = np.where(beside_other, np.maximum(wanted, rule.other_score), wanted)
        free = evidence.other_iou <= max(rule.other_iou, rule.max_iou)
    keep = free & (evidence.same_iou <= rule.max_iou) & (evidence.iof <= rule.max_iof)
    keep &= evidence.scores >= wanted.astype(np.float32)
    return keep & evidence.possible if rule.rule == "federated" else keep


def listed_score(rule: MissingRule) -> float:
    """The smallest score where the image lists the category as not exhaustively annotated."""
    listed = rule.not_exhaustive_score if rule.rule == "federated" else None
    return rule.score if listed is None else listed


def impossible_labels(
    *, negative: np.ndarray, positive: np.ndarray, not_exhaustive: np.ndarray
) -> np.ndarray:
    """Labels that cannot have missed an instance in an image, by LVIS's federated lists.

    ``negative``: verified absent. ``positive``: those with an annotation; unless they are
    ``not_exhaustive`` too, all their instances are annotated.
    """
    return np.union1d(negative, np.setdiff1d(positive, not_exhaustive))


def overlaps(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU, and share of the first box that lies in the second: (N, G) float32 each.

    boxes: (N, 4), others: (G, 4), xyxy. A box without area overlaps nothing.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=2, dtype=np.float32)  # (N, G)
    own = np.broadcast_to(_areas(boxes)[:, None], inter.shape)
    union = own + _areas(others) - inter
    iou = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return iou, np.divide(inter, own, out=np.zeros_like(inter), where=own > 0)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1, dtype=np.float32)
