from typing import Any

import pytest
import torch
from torch import Tensor

from lvistk.errors import UserError
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.image_batch import ImageBatch
from tests.models.build_small import (
    ALL_MASK_PARTS,
    CASCADE,
    small_model,
    some_batch,
    some_targets,
)

KINDS = ["softmax", "eql", "eql_v2", "seesaw", "federated", "group_softmax"]


def losses(model: MaskRCNN, *numbers: int, **fields: Any) -> dict[str, Tensor]:
    targets = [some_targets(n, seed=seed, **fields) for seed, n in enumerate(numbers)]
    return model.losses(some_batch(), targets)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("numbers", [(4, 2), (3, 0), (0, 0)])
def test_every_classifier_learns_with_and_without_gt(kind: str, numbers: tuple[int, int]) -> None:
    model = small_model({"classifier": {"kind": kind}})
    found = losses(model, *numbers)
    assert set(found) == {"rpn_objectness", "rpn_box", "classifier", "box", "mask"}
    assert all(value.ndim == 0 and value.isfinite() for value in found.values())
    sum(found.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    if not sum(numbers):
        assert found["box"] == found["mask"] == found["rpn_box"] == 0


@pytest.mark.parametrize("changes", [{}, CASCADE, ALL_MASK_PARTS], ids=["r-cnn", "cascade", "all"])
def test_losses_follow_the_images_weight(changes: dict[str, Any]) -> None:
    whole = losses(small_model(changes), 4, 3)
    part = losses(small_model(changes), 4, 3, loss_weight=0.25)
    for name, value in whole.items():
        torch.testing.assert_close(part[name], 0.25 * value)


def test_losses_repeat_whatever_the_global_random_state() -> None:
    model = small_model()
    torch.manual_seed(1)
    first = losses(model, 4, 3)
    torch.manual_seed(2)
    assert losses(model, 4, 3) == first


@pytest.mark.parametrize("changes", [{}, CASCADE], ids=["r-cnn", "cascade"])
def test_an_image_alone_and_in_a_mixed_batch(changes: dict[str, Any]) -> None:
    model = small_model(changes, {"classifier": {"kind": "softmax"}}).eval()
    for head in model.roi_heads.box_heads:
        torch.nn.init.normal_(head.classifier.linear.weight, std=0.3)
    batch = some_batch((96, 128), (100, 90), (64, 64))
    together = model.detect_boxes(batch)
    boxes = [image.reshape(-1, 4)[:9] for image in together.boxes]
    masks = model.predict_masks(together.features, boxes, [torch.arange(9) % 7] * 3)
    for image, (height, width) in enumerate(batch.size_list()):
        alone_batch = ImageBatch.stack([batch.images[image, :, :height, :width]])
        alone = model.detect_boxes(alone_batch)
        torch.testing.assert_close(alone.boxes[0], together.boxes[image], rtol=0, atol=1e-3)
        torch.testing.assert_close(alone.scores[0], together.scores[image], rtol=0, atol=1e-5)
        (mask,) = model.predict_masks(alone.features, [boxes[image]], [torch.arange(9) % 7])
        torch.testing.assert_close(mask.probs, masks[image].probs, rtol=0, atol=1e-5)


def test_what_lies_beyond_an_image_is_not_seen() -> None:
    model = small_model().eval()
    batch = some_batch((90, 120))
    wanted = model.detect_boxes(batch)
    batch.images[:, :, 90:] = 255
    batch.images[:, :, :, 120:] = 255
    assert torch.equal(model.detect_boxes(batch).boxes[0], wanted.boxes[0])


def test_masks_of_no_boxes() -> None:
    model = small_model(ALL_MASK_PARTS).eval()
    output = model.detect_boxes(some_batch())
    empty = [torch.zeros(0, 4)] * 2
    for image in model.predict_masks(
        output.features, empty, [torch.zeros(0, dtype=torch.int64)] * 2
    ):
        assert image.probs.shape == (0, 28, 28)
        assert image.moved == 0


def test_two_passes_pool_again_only_what_moves() -> None:
    """Against one pass with every level given, by a prior that says what the first pass found."""
    model = small_model({"mask": {"assignment": "fpn"}, "canonical_size": 14.0}).eval()
    assert model.roi_heads.mask is not None
    torch.nn.init.normal_(model.roi_heads.mask.stages[0].head.predictor.weight, std=1.0)
    output = model.detect_boxes(some_batch())
    boxes = [image.reshape(-1, 4)[:40] for image in output.boxes]
    labels = [torch.arange(40) % 7] * 2
    plain = small_model({"canonical_size": 14.0}).eval()
    plain.load_state_dict(model.state_dict())
    first = plain.predict_masks(output.features, boxes, labels)
    second = model.predict_masks(output.features, boxes, labels)
    moved = torch.stack([image.moved for image in second])
    assert 0 < moved.mean() < 1
    same = torch.cat(
        [(a.probs == b.probs).flatten(1).all(dim=1) for a, b in zip(first, second, strict=True)]
    )
    torch.testing.assert_close(1 - same.float().mean(), moved.mean())


def test_prior_ratios_move_whole_categories() -> None:
    settings = {"mask": {"assignment": "fpn", "assignment_ratio": "prior"}, "canonical_size": 8.0}
    model = small_model(settings).eval()
    mask = model.roi_heads.mask
    assert mask is not None
    mask.area_ratio_prior.copy_(torch.tensor([1.0, 0.1, 1.0, 1.0, 1.0, 1.0, 1.0]))
    output = model.detect_boxes(some_batch())
    boxes = torch.tensor([[0.0, 0.0, 60.0, 60.0]] * 7)
    found = mask.predict(
        output.features[:4], torch.cat([torch.zeros(7, 1), boxes], dim=1), torch.arange(7)
    )
    assert found.moved.tolist() == [False, True, False, False, False, False, False]


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_half_precision(sampling_ratio: int) -> None:
    """Under bfloat16 autocast losses stay within 5%, and boxes keep their full precision."""
    settings = {
        "box": {"sampling_ratio": sampling_ratio},
        "mask": {"sampling_ratio": sampling_ratio},
    }
    model = small_model(settings)
    plain = losses(model, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        half = losses(model, 4, 3)
        sum(half.values()).backward()
    for name in ("rpn_objectness", "classifier", "mask"):
        torch.testing.assert_close(half[name], plain[name], rtol=0.05, atol=1e-3)
    batch = some_batch()
    with torch.autocast("cpu", torch.bfloat16):
        output = model.eval().detect_boxes(batch)
        boxes = [image.reshape(-1, 4)[:5] for image in output.boxes]
        masks = model.predict_masks(output.features, boxes, [torch.arange(5)] * 2)
    assert output.features[0].dtype == torch.bfloat16
    assert output.boxes[0].dtype == output.scores[0].dtype == masks[0].probs.dtype == torch.float32


def test_a_frozen_rpn_has_no_losses() -> None:
    model = small_model()
    model.rpn.requires_grad_(False)
    assert set(losses(model, 3, 2)) == {"classifier", "box", "mask"}


def test_without_masks() -> None:
    model = small_model({"mask": {"enabled": False}})
    assert "mask" not in losses(model, 3, 2)
    with pytest.raises(ValueError, match="without a mask head"):
        model.predict_masks([], [], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cascade": {"ious": [0.5, 0.6]}}, "one entry per stage"),
        ({"cascade": {"mask_flow": True}}, "mask_every_stage"),
        ({"rpn": {"anchor_sizes": [32.0]}}, "5 of them"),
        ({"mask": {"boundary": True, "channels": 8}}, "mask.boundary"),
    ],
)
def test_settings_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_model(changes)


def test_scores_and_boxes_of_half_precision_do_not_tie() -> None:
    """The last layers compute in float32: as many distinct scores as without autocast, nearly."""
    model = small_model().eval()
    torch.nn.init.normal_(model.roi_heads.box_heads[0].classifier.linear.weight, std=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        output = model.detect_boxes(some_batch())
    for scores, boxes in zip(output.scores, output.boxes, strict=True):
        assert scores.dtype == boxes.dtype == torch.float32
        assert len(scores.unique()) > 0.9 * scores.numel()


def test_predicted_mask_iou_is_not_cut() -> None:
    model = small_model({"mask": {"mask_iou": True}}).eval()
    torch.nn.init.normal_(model.roi_heads.mask.iou_head.predictor.weight, std=5.0)
    output = model.detect_boxes(some_batch((96, 128)))
    boxes = output.proposals[0][:20]
    masks = model.predict_masks(output.features, [boxes], [torch.arange(20) % 7])[0]
    assert masks.iou is not None and len(masks.iou.unique()) > 10
    assert ((masks.iou < 0) | (masks.iou > 1)).any()
