"""Inference around a small untrained model: batches, views and masks as the model itself gives them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.inference.image_batches import Image, load_batches
from lvistk.inference.predict import predict_images
from lvistk.inference.views import plan_views
from lvistk.masks import rle
from lvistk.models.mask_rcnn import MaskRCNN
from tests.inference.colours import paint, write
from tests.models.build_small import ALL_MASK_PARTS, small_model

SIZES = ((96, 130), (120, 100), (90, 128))
SOFTMAX = {"classifier": {"kind": "softmax"}}
PLAIN = MergeSettings(nms_iou=0.5, soft_nms="none", max_detections=20)


@pytest.fixture(scope="module")
def model() -> MaskRCNN:
    return small_model(SOFTMAX, ALL_MASK_PARTS)


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    return [
        Image(k, write(tmp_path / f"{k}.png", paint(*size)), size) for k, size in enumerate(SIZES)
    ]


def run(model, images, *, views, merge=PLAIN, **predict):
    settings = PredictSettings(workers=0, **predict)
    return list(
        predict_images(model, images, views=views, merge=merge, predict=settings, device="cpu")
    )


@pytest.mark.parametrize("flip", [False, True])
def test_alone_and_in_a_mixed_batch(model: MaskRCNN, images: list[Image], flip: bool) -> None:
    views = ViewSettings(short_edges=(96,), long_edge=200, flip=flip)
    alone = run(model, images, views=views)
    together = run(model, images, views=views, batch_size=3)
    for a, b in zip(alone, together, strict=True):
        assert len(a) == 20
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-2)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
        np.testing.assert_allclose(a.mask_scores, b.mask_scores, atol=1e-4)
        for x, y in zip(a.masks, b.masks, strict=True):
            wrong = (rle.decode(x, a.size) != rle.decode(y, a.size)).sum()
            assert wrong <= 0.02 * a.size[0] * a.size[1]


def test_one_view_is_plain_post_processing(model: MaskRCNN, images: list[Image]) -> None:
    views = ViewSettings(short_edges=(96,), long_edge=200)
    (found,) = run(model, images[:1], views=views)
    (batch,) = load_batches(images[:1], views=plan_views(views), batch_size=1, workers=0)
    model.eval()
    with torch.no_grad():
        output = model.detect_boxes(batch.views[0])
    scores, boxes = output.scores[0], output.boxes[0]
    rows, labels = torch.nonzero(scores > PLAIN.score_threshold, as_tuple=True)
    chosen = boxes[rows] if boxes.dim() == 2 else boxes[rows, labels]
    keep = batched_nms(chosen, scores[rows, labels], labels, 0.5)
    keep = keep[(chosen[keep, 2:] > chosen[keep, :2]).all(1)][:20]
    assert found.labels.tolist() == labels[keep].tolist()
    np.testing.assert_allclose(found.scores, scores[rows, labels][keep], atol=1e-6)
    np.testing.assert_allclose(found.boxes, chosen[keep], atol=1e-3)
    with torch.no_grad():
        (masks,) = model.predict_masks(output.features, [chosen[keep]], [labels[keep]])
    np.testing.assert_allclose(found.mask_scores, found.scores * masks.iou.numpy(), atol=1e-5)


@pytest.mark.parametrize("source", ["selected", "average", "found"])
def test_views_of_a_real_model(model: MaskRCNN, images: list[Image], source: str) -> None:
    views = ViewSettings(short_edges=(64, 96), long_edge=300, flip=True)
    merge = MergeSettings(max_detections=15, mask_source=source, mask_sides=(20, 40, 80))
    first = run(model, images[:2], views=views, merge=merge, batch_size=2)
    again = run(model, images[:2], views=views, merge=merge, batch_size=2, feature_memory_mb=0)
    for a, b in zip(first, again, strict=True):
        assert 0 < len(a) <= 15
        assert (np.diff(a.scores) <= 0).all()
        assert a.masks == b.masks
        np.testing.assert_array_equal(a.boxes, b.boxes)
