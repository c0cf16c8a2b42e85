"""Boundary AP, AP-fixed and AP by area ratio against twins made from their definitions."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from lvis import LVISEval
from pycocotools import mask as coco_mask

from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.evaluation.scoring import Score
from lvistk.masks.boundary import boundary_distances, boundary_spans
from tests.evaluation.random_worlds import random_world
from tests.evaluation.worlds import annotation, image, mask_result, run, world, write
from tests.reference import variants_lvis


def same(ours: Score, theirs: LVISEval, ranges: slice = slice(0, 4)) -> None:
    precision = np.nan_to_num(ours.precision[..., ranges], nan=-1.0)
    recall = np.nan_to_num(ours.recall[..., ranges], nan=-1.0)
    np.testing.assert_array_equal(precision, theirs.eval["precision"])
    np.testing.assert_array_equal(recall, theirs.eval["recall"])


@pytest.mark.parametrize("seed", range(6))
def test_against_twins(tmp_path: Path, seed: int) -> None:
    gt, results = write(tmp_path, *random_world(seed, images=4, side=60))
    settings = EvaluateSettings(fixed_detections=4, threads=1)
    scores = evaluate(gt, Results(results), settings).scores
    same(scores["boundary"], variants_lvis.boundary(gt, results))
    for kind in ("segm", "bbox"):
        same(scores[f"{kind}_fixed"], variants_lvis.fixed(gt, results, kind, limit=4))
    twin = variants_lvis.by_ratio(gt, results, (0.25, 0.5, 0.75))
    same(scores["segm"], twin, slice(4, 8))


def _spans(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = np.concatenate([[0], mask.ravel(order="F"), [0]]).astype(np.int8)
    steps = np.flatnonzero(np.diff(flat))
    return steps[0::2].astype(np.uint32), steps[1::2].astype(np.uint32)


@pytest.mark.parametrize("seed", range(30))
def test_boundary_of_random_masks(seed: int) -> None:
    """Blobs, speckles, holes, masks at the border, empty and full ones."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 90, 2))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(0, 6)):
        x, y, r = rng.integers(0, width), rng.integers(0, height), int(rng.integers(1, 40))
        cv2.circle(mask, (int(x), int(y)), r, int(rng.random() < 0.8), -1)
    if seed % 5 == 0:
        mask[:] = 1
    starts, stops = _spans(mask)
    box = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))).astype(np.int64)
    distance = boundary_distances(np.array([height]), np.array([width]))[0]
    a, b, n, area = boundary_spans(starts, stops, len(starts), height, box, distance)
    ours = np.zeros(height * width, np.uint8)
    for k in range(n):
        ours[a[k] : b[k]] = 1
    expected = variants_lvis.boundary_of(mask)
    np.testing.assert_array_equal(ours.reshape((width, height)).T, expected)
    assert area == expected.sum()


def test_boundary_is_never_better_than_the_mask(tmp_path: Path) -> None:
    """A 30 x 30 square and one of 28 x 28 inside: mask IoU .871, boundary IoU (60 + ...) less."""
    gt = world([image(1)], [annotation(1, 1, 1, (2, 2, 30, 30))])
    found = run(tmp_path, gt, [mask_result(1, 1, (3, 3, 28, 28), 0.5)], EvaluateSettings())
    assert found.metrics["segm"]["AP75"] == pytest.approx(1.0)
    # d = round(.02 * 56.6) = 1: outlines of 116 and 108 pixels that share nothing
    assert found.metrics["boundary"]["AP50"] == 0


def test_fixed_has_no_limit_per_image(tmp_path: Path) -> None:
    gt = world([image(1)], [annotation(1, 1, 1, (2, 2, 10, 10))])
    results = [mask_result(1, 3, (20, 20, 5, 5), 0.9)] * 300
    results.append(mask_result(1, 1, (2, 2, 10, 10), 0.1))
    metrics = run(tmp_path, gt, results, EvaluateSettings()).metrics
    assert metrics["segm"]["AP"] == 0
    assert metrics["segm_fixed"]["AP"] == pytest.approx(1.0)
