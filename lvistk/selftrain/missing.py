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
class Lists:
    """Labels of several images, one list per image: image i has ``labels[row[i]:row[i + 1]]``.

    labels: (K,). row: (I + 1,) int64.
    """

    labels: np.ndarray
    row: np.ndarray

    @classmethod
    def of_one(cls, labels: np.ndarray) -> "Lists":
        """The list of one image."""
        return cls(labels, np.array([0, len(labels)]))

    def keys(self, size: int) -> np.ndarray:
        """``image * size + label`` (K,) of every entry."""
        return owners(self.row) * size + self.labels


@dataclass(frozen=True, eq=False)
class Known:
    """What is annotated in I images.

    boxes: (G, 4) xyxy in pixels, of all images
    annotated: the categories of these boxes, image by image
    negative: categories verified absent
    not_exhaustive: categories of which instances may be unannotated
    """

    boxes: np.ndarray
    annotated: Lists
    negative: Lists
    not_exhaustive: Lists

    @property
    def labels(self) -> np.ndarray:
        """(G,) of the boxes."""
        return self.annotated.labels

    @classmethod
    def of_image(
        cls,
        boxes: np.ndarray,
        labels: np.ndarray,
        *,
        negative: np.ndarray,
        not_exhaustive: np.ndarray,
    ) -> "Known":
        """What is annotated in one image."""
        lists = (Lists.of_one(one) for one in (labels, negative, not_exhaustive))
        return cls(boxes, *lists)


@dataclass(frozen=True, eq=False)
class Detected:
    """N detections of I images; image i has those at ``row[i]:row[i + 1]``.

    boxes: (N, 4). scores: (N,) float32. labels: (N,). row: (I + 1,) int64.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    row: np.ndarray

    @classmethod
    def of_image(cls, detections: Detections) -> "Detected":
        """The detections of one image."""
        row = np.array([0, len(detections)])
        return cls(detections.boxes, detections.scores, detections.labels, row)


def evidence(detected: Detected, known: Known) -> Evidence:
    """The evidence about the detections of I images, of which ``known`` says what is annotated.

    Overlaps are 0 in an image without annotations.
    """
    labels, image = detected.labels.astype(np.int64), owners(detected.row)
    counts = np.diff(known.annotated.row)[image]  # annotations of each detection's image
    detection = np.repeat(np.arange(len(labels)), counts)  # (P,) pairs within an image
    annotation = np.arange(len(detection)) + np.repeat(
        known.annotated.row[image] - (np.cumsum(counts) - counts), counts
    )
    iou, iof = pair_overlaps(detected.boxes[detection], known.boxes[annotation])
    same = labels[detection] == known.labels[annotation]
    size = 1 + max((int(one.max(initial=0)) for one in _all_labels(labels, known)), default=0)
    keys = image * size + labels
    not_exhaustive = np.isin(keys, known.not_exhaustive.keys(size))
    annotated = np.isin(keys, known.annotated.keys(size))
    return Evidence(
        scores=detected.scores,
        same_iou=_largest(iou * same, counts),
        other_iou=_largest(iou * ~same, counts),
        iof=_largest(iof, counts),
        possible=~np.isin(keys, known.negative.keys(size)) & (~annotated | not_exhaustive),
        not_exhaustive=not_exhaustive,
    )


def owners(row: np.ndarray) -> np.ndarray:
    """The image (N,) int64 of each entry of lists that begin and end at ``row (I + 1,)``."""
    return np.repeat(np.arange(len(row) - 1, dtype=np.int64), np.diff(row))


def _all_labels(labels: np.ndarray, known: Known) -> tuple[np.ndarray, ...]:
    return labels, known.labels, known.negative.labels, known.not_exhaustive.labels


def _largest(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The largest of each ``counts (N,)`` following values, 0 or more; (N,) float32, 0 for none."""
    largest, filled = np.zeros(len(counts), np.float32), counts > 0
    if filled.any():
        largest[filled] = np.maximum.reduceat(values, (np.cumsum(counts) - counts)[filled])
    return largest


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


def pair_overlaps(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU of each pair of boxes, and share of the first that lies in the second: (P,) float32 each.

    boxes, others: (P, 4) xyxy. A box without area overlaps nothing.
    """
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, 2:], others[:, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=1, dtype=np.float32)
    own = _areas(boxes)
    union = own + _areas(others) - inter
    iou = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return iou, np.divide(inter, own, out=np.zeros_like(inter), where=own > 0)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU (N, G) float32 of all boxes (N, 4) with all others (G, 4), xyxy."""
    shape = len(boxes), len(others)
    iou, _ = pair_overlaps(np.repeat(boxes, shape[1], axis=0), np.tile(others, (shape[0], 1)))
    return iou.reshape(shape)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1, dtype=np.float32)
