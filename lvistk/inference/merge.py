"""Candidates of all views become the detections of an image (arXiv 2009.01559, testing)."""

import numpy as np

from lvistk.config.inference import MergeSettings
from lvistk.inference.candidates import Candidates
from lvistk.inference.nms import select_best
from lvistk.structures.categories import Categories


def score_factors(categories: Categories, rare_boost: float) -> np.ndarray:
    """Factors (C,) float32 on scores: ``rare_boost`` for rare categories, 1 for all others.

    The paper raises rare scores "slightly" and gives no number; 1, the default, changes nothing. They are
    applied before candidates are cut off, so that a raised one can stay; a result may exceed 1.
    """
    factors = np.ones(len(categories), np.float32)
    factors[categories.group("r")] = rare_boost
    return factors


def merge_candidates(candidates: Candidates, *, settings: MergeSettings) -> Candidates:
    """At most ``max_detections`` candidates, best first, with their final scores.

    1. Class-wise NMS over the union of the views, then Soft-NMS (``nms.select_best``).
    2. The best ``max_detections`` over all categories.
    """
    keep, final = select_best(
        candidates.boxes,
        candidates.scores,
        candidates.labels,
        nms_iou=settings.nms_iou,
        limit=settings.max_detections,
        soft=settings.soft_nms,
        sigma=settings.soft_nms_sigma,
        soft_iou=settings.soft_nms_iou,
        min_score=settings.soft_nms_min_score if settings.soft_nms != "none" else 0.0,
    )
    merged = candidates.select(keep)
    merged.scores = final
    return merged
