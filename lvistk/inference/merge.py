"""Candidates of all views become the detections of an image (arXiv 2009.01559, testing)."""

import numpy as np

from lvistk.config.inference import MergeSettings
from lvistk.errors import UserError
from lvistk.inference.candidates import Candidates
from lvistk.inference.nms import select_best
from lvistk.structures.categories import Categories


def score_factors(categories: Categories, settings: MergeSettings) -> np.ndarray:
    """Factors (C,) float32 on scores, 1 for all by default.

    Rare categories get ``rare_boost``: the paper raises their scores "slightly" and gives no number. Besides,
    a category of n training images gets (median / n) to the power ``count_exponent``, where the median is
    over the categories with training images; those without any count as one image. Factors are applied
    before candidates are cut off, so that a raised one can stay; a result may exceed 1. Raises ``UserError``
    for an exponent where the model does not know its training images.
    """
    factors = np.ones(len(categories), np.float64)
    factors[categories.group("r")] = settings.rare_boost
    if settings.count_exponent > 0:
        counts = np.asarray(categories.image_count, np.float64)
        if not (counts > 0).any():
            raise UserError(
                "merge.count_exponent: the model does not know how many training images its categories "
                "have; set it to 0 or use a model that lvistk trained"
            )
        middle = np.median(counts[counts > 0])
        factors *= (middle / np.maximum(counts, 1)) ** settings.count_exponent
    return factors.astype(np.float32)


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
