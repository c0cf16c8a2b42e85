"""pipelines/masks_in_true_boxes.py on a model whose masks are known: full boxes, or nothing."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.inference.views import View
from lvistk.masks import rle
from lvistk.models.build import build_model
from lvistk.models.mask_branch import MaskStage
from tests.data.small_data import small_index
from tests.engine.small_model import small_settings
from tests.pipeline_script import load_script

SCRIPT = Path(__file__).parents[1] / "pipelines" / "masks_in_true_boxes.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[AnnotationIndex, Path]:
    root = tmp_path_factory.mktemp("images")
    return small_index(root, count=6, empty=1), root


def ious(script: ModuleType, data: tuple[AnnotationIndex, Path], *, bias: float) -> np.ndarray:
    """Of a model that gives every pixel of a box the logit ``bias``."""
    index, root = data
    model = build_model(small_settings(), index.categories).eval()
    assert model.roi_heads.mask is not None
    stage = model.roi_heads.mask.stages[0]
    assert isinstance(stage, MaskStage)
    with torch.no_grad():
        stage.head.predictor.weight.zero_()
        stage.head.predictor.bias.fill_(bias)
    places = np.flatnonzero(np.diff(index.row)).tolist()
    drawn = list(script.draw(model, index, root, places=places, view=View(64, 96)))
    assert len(drawn) == 5 and not any(image.moved for image in drawn)
    return np.concatenate([image.ious for image in drawn])


def test_full_boxes_have_the_iou_of_the_area_ratio(
    script: ModuleType, data: tuple[AnnotationIndex, Path]
) -> None:
    index, _ = data
    found = ious(script, data, bias=9.0)
    assert found.shape == (len(index.labels),)
    # A box has fractions of pixels, its pasted mask has not.
    np.testing.assert_allclose(found, index.area_ratios(), atol=0.06)


def test_empty_masks_have_none(script: ModuleType, data: tuple[AnnotationIndex, Path]) -> None:
    assert not ious(script, data, bias=-9.0).any()


def test_iou_and_its_mean_by_ratio_by_hand(script: ModuleType) -> None:
    first, second = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    first[:2, :3], second[1:3, :3] = 1, 1  # 3 pixels of 9
    coded = rle.encode(first), rle.encode(second)
    assert script.iou(*coded, (4, 6)) == pytest.approx(1 / 3)
    rows = script.by_ratio(np.array([0.2, 0.4, 1.0]), np.array([0.1, 0.25, 0.8]))
    assert rows == [pytest.approx(160 / 3), 20.0, 40.0, None, 100.0]


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, tmp_path / "none", "--val", "v.json", "--images", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
