"""Missing annotations: detections on training images that no annotation explains.

LVIS leaves instances unannotated, and a proposal on one of them would be taught as background. The paper
takes detections "without overlap" with the ground truth for such instances and ignores proposals on
them; its
thresholds are not published; the defaults here are our choice.
"""

import numpy as np

from lvistk.structures.detections import Detections


def missing_annotations(
    detections: Detections,
    gt_boxes: np.ndarray,
    *,
    score: float,
    max_iou: float,
    impossible: np.ndarray | None = None,
) -> Detections:
    """Those of N detections that are taken for missing annotations.

    A detection is one when its score is at least ``score``, its box has an IoU of at most ``max_iou``
    with every box of ``gt_boxes (G, 4)`` xyxy, whatever the categories, and its label is not among
    ``impossible`` (rule ``federated``; None: rule ``paper``). G = 0 gives all confident ones.
    """
    keep = detections.scores >= score
    keep &= max_overlap(detections.boxes, gt_boxes) <= max_iou
    if impossible is not None:
        keep &= ~np.isin(detections.labels, impossible)
    return detections.select(keep)


def impossible_labels(
    *, negative: np.ndarray, positive: np.ndarray, not_exhaustive: np.ndarray
) -> np.ndarray:
    """Labels that cannot have missed an instance in an image, by LVIS's federated lists.

    ``negative``: verified absent. ``positive``: those with an annotation; unless they are
    ``not_exhaustive`` too, all their instances are annotated.
    """
    return np.union1d(negative, np.setdiff1d(positive, not_exhaustive))


def max_overlap(boxes: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Largest IoU (N,) float32 of each box (N, 4) with any of ``gt (G, 4)``; 0 where G = 0."""
    if not len(gt) or not len(boxes):
        return np.zeros(len(boxes), np.float32)
    low = np.maximum(boxes[:, None, :2], gt[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], gt[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=2)  # (N, G)
    union = _areas(boxes)[:, None] + _areas(gt)[None] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0).max(axis=1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
