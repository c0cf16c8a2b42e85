"""What models of other toolboxes do otherwise: cosine predictors, averaged scores, the stride's place."""

import pytest
import torch
from torch import Tensor

from lvistk.config.model import BackboneSettings, RpnSettings
from lvistk.errors import UserError
from lvistk.models.anchors import level_anchors
from lvistk.models.backbone import build_backbone
from lvistk.models.gathered_conv import GatheredConv2d
from tests.models.build_small import CASCADE, small_model


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """By mmdetection's formula, one pair at a time."""
    product = sum(x * y for x, y in zip(a, b, strict=True))
    lengths = [sum(x * x for x in v) ** 0.5 + 1e-6 for v in (a, b)]
    return torch.as_tensor(product / (lengths[0] * lengths[1]))


def test_normed_classifier_against_loops() -> None:
    changes = {"classifier": {"kind": "seesaw", "normed_temperature": 20.0}}
    classifier = small_model(changes, categories=3).roi_heads.box_heads[0].classifier.double()
    torch.nn.init.normal_(classifier.linear.bias)
    features = torch.randn(4, classifier.linear.in_features, dtype=torch.float64)
    features[3] = 0
    logits = classifier(features)
    assert logits.shape == (4, 5)
    for row, feature in zip(logits, features, strict=True):
        for value, weight, bias in zip(
            row, classifier.linear.weight, classifier.linear.bias, strict=True
        ):
            torch.testing.assert_close(value, 20 * cosine(feature, weight) + bias)


def test_normed_mask_predictor_against_loops() -> None:
    predictor = GatheredConv2d(6, 3, temperature=20.0).double()
    torch.nn.init.normal_(predictor.bias)
    features = torch.randn(2, 6, 2, 2, dtype=torch.float64)
    labels = torch.tensor([2, 0])
    logits = predictor(features, labels)
    for k, label in enumerate(labels):
        weight = predictor.weight[label, :, 0, 0]
        for y in range(2):
            for x in range(2):
                wanted = 20 * cosine(features[k, :, y, x], weight) + predictor.bias[label]
                torch.testing.assert_close(logits[k, y, x], wanted)
    assert predictor(features[:0], labels[:0]).shape == (0, 2, 2)


@pytest.mark.parametrize("average", ["logits", "scores"])
def test_what_a_cascade_averages(average: str) -> None:
    changes = {
        **CASCADE,
        "cascade": {**CASCADE["cascade"], "average": average},
        "classifier": {"kind": "softmax"},
    }
    model = small_model(changes, categories=3).eval()
    seen = []
    for head in model.roi_heads.box_heads:
        torch.nn.init.normal_(head.classifier.linear.weight, std=3)
        head.classifier.register_forward_hook(lambda _, __, out: seen.append(out))
    features = [torch.randn(1, 16, 64 // s, 64 // s) for s in (1, 2, 4, 8)]
    proposals = [torch.tensor([[5.0, 6, 90, 100], [20, 30, 200, 210]])]
    with torch.no_grad():
        _, (scores,) = model.roi_heads.detect(features, proposals, sizes=[(256, 256)])
    logits = torch.stack(seen)  # (3, P, C + 1)
    assert len(logits) == 3
    wanted = logits.softmax(2).mean(0) if average == "scores" else logits.mean(0).softmax(1)
    torch.testing.assert_close(scores, wanted[:, :-1])


def test_stride_in_the_first_convolution() -> None:
    usual = build_backbone(BackboneSettings(name="resnet50", width=0.125))
    moved = build_backbone(BackboneSettings(name="resnet50", width=0.125, stride_in_1x1=True))
    moved.load_state_dict(usual.state_dict())
    image = torch.randn(1, 3, 64, 64)
    (block,) = moved.body.layer2[:1]
    assert block.conv1.stride == (2, 2) and block.conv2.stride == (1, 1)
    theirs, ours = usual(image), moved(image)
    assert [map_.shape for map_ in ours] == [map_.shape for map_ in theirs]
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0)
    assert not torch.allclose(ours[1], theirs[1])
    with pytest.raises(UserError, match="resnet18 has no 1x1"):
        build_backbone(BackboneSettings(name="resnet18", stride_in_1x1=True))


def test_anchors_of_two_strides() -> None:
    settings = RpnSettings(aspect_ratios=(1.0,))
    anchors = level_anchors(
        (2, 2), strides=(10, 30), size=4.0, settings=settings, device=torch.device("cpu")
    )
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centers.tolist() == [[0, 0], [30, 0], [0, 10], [30, 10]]
