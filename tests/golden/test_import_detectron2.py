"""detectron2's weights in its .pkl, through the command, give its outputs."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model
from lvistk.structures.image_batch import ImageBatch
from tests.golden.conftest import CLASSES, FOLDER, detectron2_weights
from tests.golden.test_detectron2_parity import assert_boxes_close, closest_order
from tests.shared_data import needs_golden

pytestmark = needs_golden


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A pickle of channels in BGR order, as detectron2 trains by default, and the stage made of it."""
    folder = tmp_path_factory.mktemp("import")
    weights = {name: value.numpy() for name, value in detectron2_weights().items()}
    stem = "backbone.bottom_up.stem.conv1.weight"
    weights[stem] = weights[stem][:, ::-1].copy()
    weights["pixel_mean"] = np.array([103.53, 116.28, 123.675], np.float32).reshape(3, 1, 1)
    weights["pixel_std"] = np.array([57.375, 57.12, 58.395], np.float32).reshape(3, 1, 1)
    content = {"model": weights, "__author__": "a test", "matching_heuristics": True}
    (folder / "model_final.pkl").write_bytes(pickle.dumps(content, protocol=2))
    categories = [{"id": n + 1, "name": str(n), "frequency": "f"} for n in range(CLASSES)]
    (folder / "categories.json").write_text(json.dumps(categories))
    command = f"import-weights {folder / 'model_final.pkl'} --out {folder / 'stage'} --style bgr"
    command += f" --categories {folder / 'categories.json'}"
    done = subprocess.run(
        [sys.executable, "-m", "lvistk", *command.split()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "stage", done.stdout


def test_every_tensor_is_accounted_for(imported: tuple[Path, str]) -> None:
    folder, printed = imported
    table = json.loads((folder / "import.json").read_text())
    sources = {entry["source"] for entry in table} - {""}
    assert sources == {*detectron2_weights(), "pixel_mean", "pixel_std"}
    actions = {entry["source"]: entry["action"] for entry in table}
    assert actions.pop("backbone.bottom_up.stem.conv1.weight").endswith("BGR to RGB")
    assert actions.pop("pixel_mean") == actions.pop("pixel_std")
    assert actions.pop("").startswith("new: ")
    assert set(actions.values()) == {"copied"}
    assert "detectron2" in printed and "backbone.bottom_up.res2.0" in printed


def test_outputs_are_detectron2s(imported: tuple[Path, str]) -> None:
    model = load_model(imported[0], device=torch.device("cpu"))
    assert model.settings.image_mean == pytest.approx((123.675, 116.28, 103.53))
    expected = {name: torch.from_numpy(a) for name, a in np.load(FOLDER / "outputs.npz").items()}
    image = cv2.cvtColor(cv2.imread(str(FOLDER / "image.png")), cv2.COLOR_BGR2RGB)
    output = model.detect_boxes(ImageBatch.stack([torch.from_numpy(image).permute(2, 0, 1)]))
    torch.testing.assert_close(
        output.features[0][0, ::16, ::4, ::4], expected["feature_p2"], rtol=1e-3, atol=1e-4
    )
    boxes, scores, labels = detections(output.boxes[0], output.scores[0], model)
    order = closest_order(boxes, expected["boxes"], scores, expected["scores"])
    assert torch.equal(labels[order], expected["labels"])
    assert_boxes_close(boxes[order], expected["boxes"])
    torch.testing.assert_close(scores[order], expected["scores"], rtol=0, atol=1e-4)
    first = order[:100]
    (masks,) = model.predict_masks(output.features, [boxes[first]], [labels[first]])
    torch.testing.assert_close(masks.probs, expected["mask_probs"], rtol=1e-3, atol=1e-4)


def detections(
    boxes: torch.Tensor, scores: torch.Tensor, model: MaskRCNN
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, scores and labels after threshold and class-wise NMS."""
    wanted = model.settings.detection
    rows, labels = (scores > wanted.score_threshold).nonzero().unbind(dim=1)
    scores, boxes = scores[rows, labels], boxes[rows, labels]
    kept = batched_nms(boxes, scores, labels, wanted.nms_iou)[: wanted.max_detections]
    return boxes[kept], scores[kept], labels[kept]
