"""Equality with detectron2's Mask R-CNN at its weights, within the tolerances stated with them."""

from collections.abc import Mapping

import cv2
import pytest
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.outputs import BoxOutput
from lvistk.structures.image_batch import ImageBatch
from tests.golden.conftest import FOLDER
from tests.shared_data import needs_golden

pytestmark = needs_golden


@pytest.fixture(scope="module")
def batch() -> ImageBatch:
    image = cv2.cvtColor(cv2.imread(str(FOLDER / "image.png")), cv2.COLOR_BGR2RGB)
    return ImageBatch.stack([torch.from_numpy(image).permute(2, 0, 1)])


@pytest.fixture(scope="module")
def output(model: MaskRCNN, batch: ImageBatch) -> BoxOutput:
    return model.detect_boxes(batch)


def test_features(output: BoxOutput, expected: Mapping[str, Tensor]) -> None:
    for level, feature in enumerate(output.features, start=2):
        torch.testing.assert_close(
            feature[0, ::16, ::4, ::4], expected[f"feature_p{level}"], rtol=1e-3, atol=1e-4
        )


def test_proposals(model: MaskRCNN, output: BoxOutput, expected: Mapping[str, Tensor]) -> None:
    (proposals,) = model.rpn.propose(output.features, [(480, 640)], training=False)
    order = closest_order(
        proposals.boxes, expected["proposal_boxes"], proposals.logits, expected["proposal_logits"]
    )
    assert_boxes_close(proposals.boxes[order], expected["proposal_boxes"])
    torch.testing.assert_close(
        proposals.logits[order], expected["proposal_logits"], rtol=0, atol=1e-4
    )


def test_boxes_scores_and_masks(
    model: MaskRCNN, output: BoxOutput, expected: Mapping[str, Tensor]
) -> None:
    scores, boxes = output.scores[0], output.boxes[0]
    rows, labels = (scores > 1e-4).nonzero().unbind(dim=1)
    scores, boxes = scores[rows, labels], boxes[rows, labels]
    kept = batched_nms(boxes, scores, labels, 0.5)[:300]
    scores, boxes, labels = scores[kept], boxes[kept], labels[kept]
    order = closest_order(boxes, expected["boxes"], scores, expected["scores"])
    scores, boxes, labels = scores[order], boxes[order], labels[order]
    assert torch.equal(labels, expected["labels"])
    assert_boxes_close(boxes, expected["boxes"])
    torch.testing.assert_close(scores, expected["scores"], rtol=0, atol=1e-4)
    (masks,) = model.predict_masks(output.features, [boxes[:100]], [labels[:100]])
    torch.testing.assert_close(masks.probs, expected["mask_probs"], rtol=1e-3, atol=1e-4)


def closest_order(boxes: Tensor, wanted: Tensor, scores: Tensor, wanted_scores: Tensor) -> Tensor:
    """Ours in their order, swapping only neighbours whose scores differ by less than 1e-5."""
    assert len(boxes) == len(wanted)
    order = torch.arange(len(boxes))
    for place in range(len(boxes)):
        near = (wanted_scores - wanted_scores[place]).abs() < 1e-5
        candidates = near.nonzero().squeeze(1)
        distance = (boxes[order[candidates]] - wanted[place]).abs().amax(dim=1)
        best = candidates[distance.argmin()]
        order[[place, int(best)]] = order[[int(best), place]]
    return order


def assert_boxes_close(boxes: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(boxes, wanted, rtol=0, atol=0.01)
