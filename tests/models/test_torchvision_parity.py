"""Equality with torchvision's Mask R-CNN at its random weights, under the settings it stands for."""

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import batched_nms

from lvistk.importing.parameter_names import rows_from_torchvision, translate
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.image_batch import ImageBatch
from tests.models.build_small import small_model

CLASSES = 14
HEIGHT, WIDTH = 96, 128
TORCHVISION_SETTINGS = {
    "backbone": {"name": "resnet50", "width": 1.0, "norm": "frozen_bn"},
    "fpn": {"channels": 256},
    "rpn": {"rounded_anchors": True, "post_nms_test": 200},
    "box": {"fc_channels": 1024, "aligned": False, "sampling_ratio": 2},
    "mask": {"channels": 256, "sampling_ratio": 2},
    "classifier": {"kind": "softmax"},
}


@pytest.fixture(scope="module")
def theirs() -> torchvision.models.detection.MaskRCNN:
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d
    )
    model = torchvision.models.detection.MaskRCNN(
        backbone,
        num_classes=CLASSES + 1,
        min_size=HEIGHT,
        max_size=WIDTH,
        rpn_post_nms_top_n_test=200,
        box_score_thresh=0.01,
        box_detections_per_img=50,
    )
    for module in model.modules():
        if isinstance(module, torchvision.ops.FrozenBatchNorm2d):
            module.weight.fill_(0.5)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    for layer in (model.rpn.head.cls_logits, model.roi_heads.box_predictor.cls_score):
        torch.nn.init.normal_(layer.weight, std=0.1)
    torch.nn.init.normal_(model.roi_heads.mask_predictor.mask_fcn_logits.weight, std=1.0)
    return model.eval()


@pytest.fixture(scope="module")
def ours(theirs: torchvision.models.detection.MaskRCNN) -> MaskRCNN:
    model = small_model(TORCHVISION_SETTINGS, categories=CLASSES).eval()
    weights = {
        translate(name, "torchvision"): rows_from_torchvision(name, value)
        for name, value in theirs.state_dict().items()
    }
    assert None not in weights
    report = model.load_state_dict(weights, strict=False)
    assert not report.unexpected_keys
    assert report.missing_keys == ["roi_heads.mask.area_ratio_prior"]
    return model


def test_same_boxes_scores_and_masks(
    ours: MaskRCNN, theirs: torchvision.models.detection.MaskRCNN
) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        (wanted,) = theirs([image / 255])
    output = ours.detect_boxes(ImageBatch.stack([image]))
    boxes, scores, labels = detections(output.boxes[0], output.scores[0])
    assert len(wanted["boxes"]) == 50
    torch.testing.assert_close(scores, wanted["scores"], rtol=0, atol=1e-5)
    assert torch.equal(labels, wanted["labels"] - 1)
    torch.testing.assert_close(boxes, wanted["boxes"], rtol=0, atol=0.01)
    (masks,) = ours.predict_masks(output.features, [boxes], [labels])
    pasted = paste_masks_in_image(masks.probs[:, None], boxes, (HEIGHT, WIDTH))
    torch.testing.assert_close(pasted, wanted["masks"], rtol=0, atol=1e-3)


def detections(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """torchvision's selection: score over .01, boxes of .01 px or more, NMS .5, best 50."""
    rows, labels = (scores > 0.01).nonzero().unbind(dim=1)
    boxes, scores = boxes[rows, labels], scores[rows, labels]
    large = (boxes[:, 2:] - boxes[:, :2] >= 1e-2).all(dim=1)
    boxes, scores, labels = boxes[large], scores[large], labels[large]
    kept = batched_nms(boxes, scores, labels, 0.5)[:50]
    return boxes[kept], scores[kept], labels[kept]
