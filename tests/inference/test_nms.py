import math

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from lvistk.inference.nms import nms, select_best
from tests.reference import nms as slow


def random_candidates(rng, number, categories, *, coarse=False):
    corner = rng.uniform(0, 60, (number, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (number, 2))], 1)
    scores = rng.random(number)
    if coarse:  # many equal scores and equal boxes
        boxes, scores = boxes.round(-1), scores.round(1)
    labels = rng.integers(0, categories, number)
    return boxes.astype(np.float32), scores.astype(np.float32), labels.astype(np.int32)


@pytest.mark.parametrize("method", ["none", "linear", "gaussian"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_slow_twin(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, scores, labels = random_candidates(
        rng, int(rng.integers(1, 120)), int(rng.integers(1, 9)), coarse=seed % 2 == 1
    )
    options = {"nms_iou": 0.6, "limit": 30, "sigma": 0.4, "soft_iou": 0.2, "min_score": 0.05}
    keep, final = select_best(boxes, scores, labels, soft=method, **options)
    expected = slow.select(
        boxes.tolist(), scores.tolist(), labels.tolist(), method=method, **options
    )
    assert keep.tolist() == [index for index, _ in expected]
    np.testing.assert_allclose(final, [score for _, score in expected], rtol=2e-6)


def test_equals_torchvision() -> None:
    boxes, scores, labels = random_candidates(np.random.default_rng(5), 3000, 7)
    expected = batched_nms(
        torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels).long(), 0.5
    )
    assert nms(boxes, scores, labels, 0.5).tolist() == expected.tolist()


def test_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10], [0, 0, 10, 8]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    labels = np.array([0, 0, 1, 0])
    hard, _ = select_best(boxes, scores, labels, nms_iou=0.5, limit=9)
    assert hard.tolist() == [0, 1, 2]  # an IoU of .5 is not above .5; .8 is
    soft, final = select_best(boxes, scores, labels, nms_iou=0.5, limit=9, soft="gaussian")
    assert soft.tolist() == [0, 2, 1]
    np.testing.assert_allclose(final, [0.9, 0.7, 0.8 * math.exp(-0.25 / 0.5)], rtol=1e-6)
    linear, final = select_best(boxes, scores, labels, nms_iou=0.7, limit=9, soft="linear")
    assert linear.tolist() == [0, 2, 1]
    np.testing.assert_allclose(final, [0.9, 0.7, 0.4], rtol=1e-6)


@pytest.mark.parametrize("method", ["none", "linear", "gaussian"])
def test_no_candidate(method: str) -> None:
    keep, final = select_best(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int32),
        nms_iou=0.5,
        limit=300,
        soft=method,
    )
    assert keep.shape == final.shape == (0,)


def test_a_box_without_area_overlaps_nothing() -> None:
    boxes = np.array([[3, 3, 3, 9], [3, 3, 3, 9], [0, 0, 9, 9]], np.float32)
    keep = nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int32), 0.1)
    assert keep.tolist() == [0, 1, 2]


def test_a_cut_by_score_changes_nothing_while_enough_survive() -> None:
    boxes, scores, labels = random_candidates(np.random.default_rng(3), 4000, 20)
    whole, _ = select_best(boxes, scores, labels, nms_iou=0.5, limit=50)
    best = np.sort(np.argsort(-scores, kind="stable")[:600])
    part, _ = select_best(boxes[best], scores[best], labels[best], nms_iou=0.5, limit=50)
    assert best[part].tolist() == whole.tolist()
