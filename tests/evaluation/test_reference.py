"""The reference evaluator equals the fast one in every table."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation.evaluate import Results, evaluate
from tests.evaluation.random_worlds import random_world
from tests.evaluation.test_store import fill
from tests.evaluation.worlds import write
from tests.reference.evaluation import evaluate_plainly

SETTINGS = EvaluateSettings(max_detections=5, fixed_detections=4, threads=1)


def same(gt: Path, results: Path, settings: EvaluateSettings) -> None:
    fast = evaluate(gt, Results(results), settings)
    plain = evaluate_plainly(gt, results, None, settings)
    for name, table in fast.tables.items():
        for field in dataclasses.fields(plain.tables[name]):
            ours, theirs = (getattr(t, field.name) for t in (table, plain.tables[name]))
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{name} {field.name}")
    assert fast.metrics == plain.metrics
    assert fast.warnings == plain.warnings


@pytest.mark.parametrize("boxes", ["none", "both", "only"])
@pytest.mark.parametrize("seed", range(5))
def test_engines_agree(tmp_path: Path, seed: int, boxes: str) -> None:
    gt, results = write(tmp_path, *random_world(seed, images=4, side=30, boxes=boxes))
    same(gt, results, SETTINGS)
    same(gt, results, dataclasses.replace(SETTINGS, area="box"))


def test_engines_agree_on_a_store(tmp_path: Path) -> None:
    gt, results = random_world(3, images=4, side=30, boxes="both")
    store, _ = fill(tmp_path, gt, results, mask_scores=True)
    same(write(tmp_path, gt, [])[0], store, SETTINGS)
