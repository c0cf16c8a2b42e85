"""Bit for bit the arrays of lvis-api 0.5.3: human raters, and the generated workload."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation.evaluate import Results, evaluate
from tests.evaluation.worlds import FAST, assert_official
from tests.shared_data import BENCH, REALDATA, needs_realdata

ANNOTATIONS = REALDATA / "annotations"


def test_numpy_float_workaround_is_needed() -> None:
    """When numpy has ``float`` again or lvis no longer uses it, tests/reference can forget it."""
    assert not hasattr(np, "float")


@needs_realdata
def test_human_against_human_is_what_the_official_code_says() -> None:
    gt = ANNOTATIONS / "lvis_v1_real_rater1_gt.json"
    results = ANNOTATIONS / "lvis_v1_real_rater2_results.json"
    found = evaluate(gt, Results(results), EvaluateSettings())
    for iou_type in ("segm", "bbox"):
        assert_official(gt, results, iou_type, found)
    rounded = {key: round(found.metrics["segm"][key], 3) for key in ("AP", "AP50", "AP75")}
    assert rounded == {"AP": 0.611, "AP50": 0.826, "AP75": 0.675}
    assert round(found.metrics["bbox"]["AP"], 3) == 0.667


def _workload(folder: Path, images: int, *extra: str) -> Path:
    script = BENCH / "eval_workload.py"
    if not script.is_file():
        pytest.skip(f"no workload script at {script} (set LVISTK_SHARED)")
    command = [sys.executable, str(script), str(images), str(folder), *extra]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("extra", [(), ("--adv",)], ids=["plain", "adv"])
def test_small_workload(tmp_path: Path, extra: tuple[str, ...]) -> None:
    _compare(_workload(tmp_path, 15, *extra))


@pytest.mark.slow
@pytest.mark.parametrize("images", [500, 2000])
@pytest.mark.parametrize("extra", [(), ("--adv",)], ids=["plain", "adv"])
def test_workload_at_size(tmp_path: Path, images: int, extra: tuple[str, ...]) -> None:
    _compare(_workload(tmp_path, images, *extra))


def _compare(folder: Path) -> None:
    """Masks, boxes, both in one file, and boxes made of masks."""
    for name, iou_types in (("segm", ("segm", "bbox")), ("bbox", ("bbox",)), ("full", ("segm",))):
        results = folder / f"dt_{name}.json"
        found = evaluate(folder / "gt.json", Results(results), FAST)
        for iou_type in iou_types:
            assert_official(folder / "gt.json", results, iou_type, found)
