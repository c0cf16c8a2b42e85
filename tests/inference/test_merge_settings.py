"""Each setting of the merge, by hand, on two boxes of one category with an IoU of .6."""

import math

import numpy as np
import pytest

from lvistk.config.inference import MergeSettings
from lvistk.inference.candidates import Candidates
from lvistk.inference.merge import merge_candidates


def merged_scores(**settings: object) -> list[float]:
    """Final scores of a box of 10 x 10 with .9 and its part of 10 x 6 with .8."""
    two = Candidates(
        boxes=np.array([[0, 0, 10, 10], [0, 0, 10, 6]], np.float32),
        scores=np.array([0.9, 0.8], np.float32),
        labels=np.zeros(2, np.int32),
        views=np.zeros(2, np.int32),
    )
    merge = MergeSettings(**settings)  # type: ignore[arg-type]
    return merge_candidates(two, settings=merge).scores.tolist()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.9, 0.8 * math.exp(-(0.6**2) / 0.5)]),  # the paper: NMS at .7, Gaussian, sigma .5
        ({"soft_nms": "none"}, [0.9, 0.8]),
        ({"soft_nms": "none", "nms_iou": 0.61}, [0.9, 0.8]),
        ({"soft_nms": "none", "nms_iou": 0.59}, [0.9]),
        ({"soft_nms_sigma": 1.0}, [0.9, 0.8 * math.exp(-(0.6**2))]),
        ({"soft_nms_min_score": 0.38}, [0.9, 0.8 * math.exp(-(0.6**2) / 0.5)]),  # .389
        ({"soft_nms_min_score": 0.4}, [0.9]),
        ({"soft_nms": "none", "soft_nms_min_score": 0.85}, [0.9, 0.8]),
        ({"soft_nms": "linear"}, [0.9, 0.8 * (1 - 0.6)]),
        ({"soft_nms": "linear", "soft_nms_iou": 0.61}, [0.9, 0.8]),
        ({"max_detections": 1}, [0.9]),
    ],
    ids=str,
)
def test_each_setting_by_hand(settings: dict[str, object], expected: list[float]) -> None:
    np.testing.assert_allclose(merged_scores(**settings), expected, rtol=1e-6)
