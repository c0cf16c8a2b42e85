"""Precision and recall of hidden instances, counted by hand."""

import numpy as np
import pytest

from lvistk.config.missing import MissingRule
from lvistk.selftrain.hidden import (
    HiddenMatches,
    by_category,
    curve,
    hidden_instances,
    match_hidden,
)
from lvistk.selftrain.missing import Detected, evidence
from tests.data.test_detection_store import CATEGORIES
from tests.selftrain.test_missing import detections, known

A, B, C = [0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]
OPEN = MissingRule(rule="paper", score=0.0, not_exhaustive_score=None)


def boxes(*several: list) -> np.ndarray:
    return np.array(several, np.float32).reshape(-1, 4)


def test_each_annotation_stands_for_one_instance() -> None:
    near = [1, 0, 11, 10]
    hidden = hidden_instances(
        boxes(A, B),
        np.array([0, 1]),
        full_boxes=boxes(near, A, B, C),
        full_labels=np.array([0, 0, 2, 1]),
    )
    assert hidden.tolist() == [0, 2, 3]  # A is the annotated one; B is another category's


def image_matches() -> HiddenMatches:
    """Two hidden instances, B of category 0 and C of category 1; A is annotated."""
    detected = detections([A, B, B, C], [0.9, 0.8, 0.7, 0.6], [0, 0, 1, 2])
    proof = evidence(Detected.of_image(detected), known([A], [0]))
    return match_hidden(detected, proof, boxes=boxes(B, C), labels=np.array([0, 1]))


def test_precision_and_recall_by_hand() -> None:
    matches = image_matches()
    assert matches.exact.tolist() == [-1, 0, -1, -1]
    assert matches.region.tolist() == [-1, 0, 0, 1]
    assert matches.measure_rule(OPEN) == {
        "kept": 3,
        "precision": pytest.approx(1 / 3),
        "recall": 0.5,
        "region_precision": 1.0,
        "region_recall": 1.0,
    }
    assert matches.measure(np.zeros(4, bool))["precision"] is None


def test_two_images_count_together() -> None:
    both = HiddenMatches.concatenate([image_matches(), image_matches()])
    assert both.exact.tolist() == [-1, 0, -1, -1, -1, 2, -1, -1]
    assert both.measure_rule(OPEN)["recall"] == 0.5
    recall, precision = curve(both, OPEN, region=True)
    np.testing.assert_allclose(recall, [0.25, 0.5, 0.5, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(precision, np.ones(6))
    rows = {row["name"]: row for row in by_category(both, OPEN, CATEGORIES)}
    assert rows["a"] == {**rows["a"], "hidden": 2, "kept": 2, "precision": 1.0, "recall": 1.0}
    assert rows["b"] == {**rows["b"], "hidden": 2, "kept": 2, "precision": 0.0, "recall": 0.0}
    assert rows["c"] == {**rows["c"], "hidden": 0, "kept": 2, "precision": 0.0, "recall": None}


def test_the_curve_starts_with_what_a_list_allows() -> None:
    """Where a category is listed as not exhaustive, its own score holds at every score of the others."""
    detected = detections([B, C], [0.9, 0.4], [0, 1])
    image = known([], [], not_exhaustive=[1])
    matches = match_hidden(
        detected, evidence(Detected.of_image(detected), image), boxes=boxes(C), labels=np.array([1])
    )
    recall, precision = curve(matches, MissingRule(not_exhaustive_score=0.3), region=False)
    assert (recall.tolist(), precision.tolist()) == ([1.0, 1.0], [1.0, 0.5])


def test_nothing() -> None:
    nothing = HiddenMatches.concatenate([])
    assert nothing.measure_rule(OPEN) == {
        "kept": 0,
        "precision": None,
        "recall": None,
        "region_precision": None,
        "region_recall": None,
    }
    assert len(curve(nothing, OPEN, region=True)[0]) == 0
