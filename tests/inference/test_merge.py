import dataclasses

import numpy as np
import pytest
import torch

from lvistk.config.inference import MergeSettings
from lvistk.errors import UserError
from lvistk.inference.candidates import Candidates, cut_candidates
from lvistk.inference.mask_source import choose_views
from lvistk.inference.merge import merge_candidates, score_factors
from lvistk.inference.views import View, geometry
from lvistk.structures.categories import Categories
from tests.inference.test_nms import random_candidates
from tests.reference import nms as slow

CATEGORIES = Categories(
    ids=np.array([3, 5, 8]),
    names=("a", "b", "c"),
    frequency=np.array(["f", "r", "c"]),
    image_count=np.array([200, 4, 40]),
    instance_count=np.array([300, 4, 50]),
)


def test_merging_equals_the_slow_twin() -> None:
    rng = np.random.default_rng(1)
    views = [random_candidates(rng, int(rng.integers(0, 80)), 3) for _ in range(4)]
    settings = MergeSettings(rare_boost=1.3, max_detections=25, soft_nms_min_score=0.01)
    factors = score_factors(CATEGORIES, settings)
    parts = [Candidates(*view, np.full(len(view[1]), k)) for k, view in enumerate(views)]
    raised = Candidates.concatenate(parts)
    raised.scores = raised.scores * factors[raised.labels]
    merged = merge_candidates(raised, settings=settings)
    expected = slow.merge(
        [tuple(column.tolist() for column in view) for view in views],
        factors=factors.tolist(),
        limit=25,
        nms_iou=0.7,
        method="gaussian",
        sigma=0.5,
        soft_iou=0.3,
        min_score=0.01,
    )
    joined = Candidates.concatenate(parts)
    indices = [index for index, _ in expected]
    np.testing.assert_array_equal(merged.boxes, joined.boxes[indices])
    np.testing.assert_array_equal(merged.views, joined.views[indices])
    np.testing.assert_allclose(merged.scores, [score for _, score in expected], rtol=1e-5)


def test_rare_boost() -> None:
    np.testing.assert_allclose(
        score_factors(CATEGORIES, MergeSettings(rare_boost=1.1)), [1, 1.1, 1]
    )


def test_boost_by_training_images() -> None:
    """CATEGORIES have 200, 4 and 40 training images."""
    factors = score_factors(CATEGORIES, MergeSettings(count_exponent=0.5, rare_boost=2.0))
    np.testing.assert_allclose(factors, [(40 / 200) ** 0.5, 2 * (40 / 4) ** 0.5, 1], rtol=1e-6)
    unknown = dataclasses.replace(CATEGORIES, image_count=np.zeros(3, np.int64))
    with pytest.raises(UserError, match=r"merge\.count_exponent: .*training images"):
        score_factors(unknown, MergeSettings(count_exponent=0.5))


def test_a_category_keeps_its_best_whatever_the_limit() -> None:
    boxes = [[0, 0, 20, 20], [10, 10, 50, 90], [5, 5, 50, 60]]
    scores = [[0.9, 0.2, 0.0], [0.8, 0.3, 0.0], [0.7, 0.3, 0.15]]
    assert cut(boxes, scores, limit=2).labels.tolist() == [0, 0]
    kept = cut(boxes, scores, limit=2, floor=1)
    assert kept.labels.tolist() == [0, 0, 1, 2]
    np.testing.assert_allclose(kept.scores, [0.9, 0.8, 0.3, 0.15])
    assert kept.boxes[2, 2] == 25  # of equal scores the first
    assert len(cut(boxes, scores, limit=2, floor=2)) == 5


def test_a_raised_candidate_survives_both_cuts() -> None:
    """Below the limit and below the threshold by its own score, above by its raised one."""
    boxes = [[0, 0, 20, 20], [10, 10, 50, 90]]
    factors = score_factors(CATEGORIES, MergeSettings(rare_boost=1.5))
    scores = [[0.30, 0.25, 0.0], [0.29, 0.0, 0.0]]
    assert cut(boxes, scores, limit=2).labels.tolist() == [0, 0]
    kept = cut(boxes, scores, limit=2, factors=factors)
    assert kept.labels.tolist() == [0, 1]
    np.testing.assert_allclose(kept.scores, [0.30, 0.375], rtol=1e-6)
    assert cut(boxes, scores, threshold=0.28).labels.tolist() == [0, 0]
    kept = cut(boxes, scores, threshold=0.28, factors=factors)
    assert kept.labels.tolist() == [0, 1, 0]


def cut(boxes, scores, *, view=None, threshold=0.1, limit=100, floor=0, factors=None):
    view = view or View(100, 200)
    return cut_candidates(
        torch.tensor(boxes, dtype=torch.float32),
        torch.tensor(scores, dtype=torch.float32),
        geometry=geometry(view, (50, 60)),
        view=view,
        number=4,
        threshold=threshold,
        limit=limit,
        floor=floor,
        factors=torch.ones(3) if factors is None else torch.from_numpy(factors),
    )


def test_candidates_of_a_view() -> None:
    boxes = [[0, 0, 20, 20], [10, 10, 50, 90], [5, 5, 5, 60]]
    scores = [[0.1, 0.5, 0.0], [0.3, 0.05, 0.4], [0.9, 0.9, 0.9]]
    found = cut(boxes, scores)  # the view is twice the image
    np.testing.assert_allclose(found.boxes, [[0, 0, 10, 10], [5, 5, 25, 45], [5, 5, 25, 45]])
    assert found.labels.tolist() == [1, 0, 2]  # .1 is not above .1; the third box has no area
    np.testing.assert_allclose(found.scores, [0.5, 0.3, 0.4])
    assert found.views.tolist() == [4, 4, 4]
    assert cut(boxes[:2], scores[:2], limit=1).labels.tolist() == [1]


def test_a_box_per_category() -> None:
    boxes = [[[0, 0, 20, 20], [0, 0, 40, 40]]]
    found = cut(boxes, [[0.2, 0.6]], factors=np.ones(2, np.float32))
    np.testing.assert_allclose(found.boxes, [[0, 0, 10, 10], [0, 0, 20, 20]])


def test_valid_range_goes_by_image_pixels() -> None:
    boxes = [[0, 0, 20, 20], [0, 0, 40, 40], [0, 0, 60, 60]]  # 10, 20 and 30 px in the image
    scores = [[0.5], [0.5], [0.5]]
    one = np.ones(1, np.float32)
    found = cut(boxes, scores, view=View(100, 200, low=10, high=20), factors=one)
    assert (found.boxes[:, 2]).tolist() == [10, 20]
    assert len(cut(boxes, scores, view=View(100, 200, low=31), factors=one)) == 0


def test_boxes_without_width_or_height_are_left_out() -> None:
    boxes = [[10, 20, 40, 20], [10, 20, 10, 50], [10, 20, 40, 50]]
    only = cut(boxes, [[0.5], [0.6], [0.7]], factors=np.ones(1, np.float32))
    np.testing.assert_allclose(only.boxes, [[5, 10, 20, 25]])


def test_no_proposal() -> None:
    for shape in ((0, 4), (0, 3, 4)):
        found = cut(np.zeros(shape), np.zeros((0, 3)), view=View(100, 200, high=9))
        assert len(found) == 0
        merged = merge_candidates(found, settings=MergeSettings())
        assert merged.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("side", "ratio", "expected"),
    [
        (224, 0.9, 1),  # solid: 224 px wanted, found at scale 1
        (112, 0.9, 2),  # twice as large in the third view
        (112, 0.4, 2),  # 448 px wanted, 224 is the nearest
        (448, 0.1, 2),
        (800, 0.1, 1),  # 896 px wanted: 800 beats 1600
        (448, 0.6, 0),
    ],
)
def test_mask_view_by_scale_and_ratio(side: float, ratio: float, expected: int) -> None:
    boxes = np.array([[0, 0, side, side]], np.float32)
    chosen = choose_views(
        boxes,
        np.array([ratio]),
        origins=np.array([1]),
        scales=(0.5, 1.0, 2.0),
        flips=(False, False, False),
        sides=(224, 448, 896),
    )
    assert chosen.tolist() == [expected]


def test_mask_view_keeps_the_flip_of_the_finding_view() -> None:
    boxes = np.array([[0, 0, 112, 112]] * 3, np.float32)
    chosen = choose_views(
        boxes,
        np.full(3, 0.8),
        origins=np.array([0, 1, 3]),
        scales=(1.0, 1.0, 2.0, 2.0),
        flips=(False, True, False, True),
        sides=(224, 448, 896),
    )
    assert chosen.tolist() == [2, 3, 3]
    empty = choose_views(
        np.zeros((0, 4)),
        np.zeros(0),
        origins=np.zeros(0, int),
        scales=(1.0,),
        flips=(False,),
        sides=(224, 448, 896),
    )
    assert empty.shape == (0,)
