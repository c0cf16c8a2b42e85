"""Single-scale inference, from the image's file on, equals detectron2's plain post-processing."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import predict_images
from lvistk.masks import rle
from lvistk.masks.paste import paste_masks
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.detections import Detections
from tests.golden.conftest import FOLDER
from tests.golden.test_detectron2_parity import assert_boxes_close, closest_order
from tests.shared_data import needs_golden

pytestmark = needs_golden
SIZE = (480, 640)


@pytest.fixture(scope="module")
def found(model: MaskRCNN) -> Detections:
    (found,) = predict_images(
        model,
        [Image(1, FOLDER / "image.png", SIZE)],
        views=ViewSettings(short_edges=(480,), long_edge=640),
        merge=MergeSettings(score_threshold=1e-4, nms_iou=0.5, soft_nms="none"),
        predict=PredictSettings(workers=0),
        device="cpu",
    )
    return found


def test_boxes(found: Detections, expected: Mapping[str, Tensor]) -> None:
    boxes, scores = torch.from_numpy(found.boxes), torch.from_numpy(found.scores)
    order = closest_order(boxes, expected["boxes"], scores, expected["scores"])
    assert_boxes_close(boxes[order], expected["boxes"])
    torch.testing.assert_close(scores[order], expected["scores"], rtol=0, atol=1e-4)
    assert found.labels[order.numpy()].tolist() == expected["labels"].tolist()


def test_masks(found: Detections, expected: Mapping[str, Tensor]) -> None:
    boxes, scores = torch.from_numpy(found.boxes), torch.from_numpy(found.scores)
    order = closest_order(boxes, expected["boxes"], scores, expected["scores"])[:100]
    wanted = paste_masks(expected["mask_probs"].numpy(), expected["boxes"][:100].numpy(), size=SIZE)
    assert found.masks is not None
    for k, counts in zip(order.tolist(), wanted, strict=True):
        ours, theirs = rle.decode(found.masks[k], SIZE), rle.decode(counts, SIZE)
        different = np.count_nonzero(ours != theirs)
        assert different <= 0.01 * max(theirs.sum(), 100)  # pixels that lie on the threshold
