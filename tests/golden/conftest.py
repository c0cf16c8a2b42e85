"""detectron2's reference outputs, and our model at its weights: built once for all tests here."""

import importlib.util
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.importing.parameter_names import translate
from lvistk.models.build import build_model
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.categories import Categories
from tests.shared_data import GOLDEN

FOLDER = GOLDEN / "detectron2_r50"
CLASSES = 1203


def detectron2_weights() -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.state_dict(FOLDER)


@pytest.fixture(scope="session")
def expected() -> Mapping[str, Tensor]:
    return {name: torch.from_numpy(a) for name, a in np.load(FOLDER / "outputs.npz").items()}


@pytest.fixture(scope="session")
def model() -> MaskRCNN:
    counts = np.full(CLASSES, 10)
    categories = Categories(
        ids=np.arange(1, CLASSES + 1),
        names=tuple(map(str, range(CLASSES))),
        frequency=np.array(["f"] * CLASSES),
        image_count=counts,
        instance_count=counts,
    )
    settings = update(ModelSettings(), {"classifier": {"kind": "softmax"}}, where="test")
    model = build_model(settings, categories).eval()
    weights = {translate(name, "detectron2"): value for name, value in detectron2_weights().items()}
    assert None not in weights
    report = model.load_state_dict(weights, strict=False)
    assert not report.unexpected_keys
    assert report.missing_keys == ["roi_heads.mask.area_ratio_prior"]
    return model
