"""Losses of a model against the same values by ordinary operations, and settings that reach them."""

import pytest
import torch
from torch.nn import functional as F

from lvistk.config.model import RpnSettings
from lvistk.models import box_coder
from lvistk.models.conv_init import relu_conv
from lvistk.models.matcher import overlaps_any
from lvistk.models.rpn import RegionProposalNetwork
from lvistk.models.samples import SamplingRule, sample_rois
from tests.models.build_small import small_model, some_batch, some_targets
from tests.models.test_rpn import dense, some_features


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_rpn_losses_from_every_anchors_values(beta: float) -> None:
    """The sampled anchors' terms, taken from the dense maps, over the number of all of them."""
    settings = RpnSettings(
        anchor_sizes=(8.0, 16.0, 32.0, 64.0, 128.0), batch_per_image=64, smooth_l1_beta=beta
    )
    torch.manual_seed(0)
    rpn = RegionProposalNetwork(8, settings, missing_iou=0.5)
    for parameter in rpn.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    features = some_features(torch.Generator().manual_seed(1), grad=False)
    targets = [some_targets(4, seed=0, loss_weight=0.5), some_targets(3, seed=1)]
    anchors = torch.cat(rpn.anchors(features))
    logits, deltas = dense(rpn, features)
    objectness, box, count = 0.0, 0.0, 0
    for image, target in enumerate(targets):
        chosen, matched = rpn._sample(anchors, target, target.generator(anchors.device))
        for k, (index, valid) in enumerate(zip(chosen.indices, chosen.valid, strict=True)):
            if not valid:
                continue
            count += 1
            positive = k < chosen.positives
            score = logits[image, index]
            objectness += target.loss_weight * F.softplus(-score if positive else score)
            if positive:
                wanted = box_coder.encode(
                    target.boxes[matched[k]][None],
                    anchors[index][None],
                    weights=(1.0, 1.0, 1.0, 1.0),
                )[0]
                away = (deltas[image, index] - wanted).abs()
                term = (
                    away
                    if not beta
                    else torch.where(away < beta, away**2 / (2 * beta), away - beta / 2)
                )
                box += target.loss_weight * term.sum()
    generators = [target.generator(anchors.device) for target in targets]
    with torch.no_grad():
        losses = rpn.losses(features, targets, generators=generators)
    torch.testing.assert_close(losses["rpn_objectness"], objectness / count, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses["rpn_box"], box / count, rtol=1e-4, atol=1e-5)


def test_the_box_heads_beta_reaches_its_loss() -> None:
    """With a large beta the loss is that of squares over twice beta, which is below L1."""
    values = []
    for beta in (0.0, 4.0, 8.0):
        model = small_model({"box": {"smooth_l1_beta": beta}})
        values.append(model.losses(some_batch(), [some_targets(4), some_targets(3, seed=1)])["box"])
    assert values[0] > values[1] > values[2] > 0
    torch.testing.assert_close(
        values[1], 2 * values[2], rtol=0.2, atol=0
    )  # most deltas are below 4


def test_the_second_pass_predicts_its_own_iou() -> None:
    """Masks that Eq. 1 moves to another level bring the IoU predicted there."""
    changes = {"mask": {"assignment": "fpn", "mask_iou": True}, "canonical_size": 14.0}
    model = small_model(changes).eval()
    mask = model.roi_heads.mask
    assert mask is not None
    torch.nn.init.normal_(mask.stages[0].head.predictor.weight, std=1.0)
    output = model.detect_boxes(some_batch())
    boxes = [image.reshape(-1, 4)[:40] for image in output.boxes]
    rois = torch.cat(
        [torch.cat([torch.full((40, 1), float(k)), part], dim=1) for k, part in enumerate(boxes)]
    )
    labels = torch.arange(80) % 7
    both = mask.predict(output.features[:4], rois, labels)
    assert both.iou is not None
    assert 0 < both.moved.sum() < 80
    for index in both.moved.nonzero().flatten()[:5].tolist():
        alone = mask.predict(output.features[:4], rois[index : index + 1], labels[index][None])
        assert alone.iou is not None
        torch.testing.assert_close(alone.iou[0], both.iou[index])
    plain = small_model({"mask": {"mask_iou": True}, "canonical_size": 14.0}).eval()
    plain.load_state_dict(model.state_dict())
    assert plain.roi_heads.mask is not None
    first = plain.roi_heads.mask.predict(output.features[:4], rois, labels)
    assert first.iou is not None
    assert (first.iou != both.iou)[both.moved].any()
    assert torch.equal(first.iou[~both.moved], both.iou[~both.moved])


def test_convolutions_of_heads_start_by_he() -> None:
    """Standard deviation sqrt(2 / (outputs x 3 x 3)) of the weights, no bias."""
    torch.manual_seed(0)
    conv = relu_conv(64, 64)
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert conv.bias is not None
    assert not conv.bias.any()


def test_an_iou_of_exactly_the_threshold_is_on_a_missing_annotation() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]])
    missing = torch.tensor([[0.0, 0.0, 10.0, 5.0]])  # IoU .5 and .56
    assert overlaps_any(boxes, missing, iou=0.5).tolist() == [True, True]
    assert overlaps_any(boxes, missing, iou=0.51).tolist() == [False, True]


def test_positive_rois_know_which_share_of_its_box_their_instance_fills() -> None:
    """Eq. 1 and mask scoring go by the matched instance's ratio; background has 1."""
    target = some_targets(5, area_ratio=torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]))
    rule = SamplingRule(iou=0.5, number=64, positive_fraction=0.5, ignore_iou=0.5, background=7)
    far = torch.tensor([[150.0, 150.0, 160.0, 160.0]] * 6)
    generator = target.generator(far.device)
    samples = sample_rois([far], [target], rule=rule, generators=[generator])
    positive = samples.labels < 7
    assert positive.sum() == 5
    assert torch.equal(samples.area_ratio[positive], target.area_ratio[samples.gt[positive]])
    assert sorted(samples.area_ratio[positive].tolist()) == target.area_ratio.tolist()
    assert (samples.area_ratio[~positive] == 1).all()
