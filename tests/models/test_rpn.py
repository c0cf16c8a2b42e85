import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lvistk.config.model import RpnSettings
from lvistk.models.matcher import match
from lvistk.models.rpn import RegionProposalNetwork
from tests.models.build_small import small_model, some_targets


def some_features(generator: torch.Generator, *, grad: bool) -> list[Tensor]:
    sizes = [(24, 32), (12, 16), (6, 8), (3, 4), (2, 2)]
    maps = [torch.randn(2, 8, *size, generator=generator) for size in sizes]
    return [feature.requires_grad_(grad) for feature in maps]


@pytest.fixture
def rpn() -> RegionProposalNetwork:
    torch.manual_seed(0)
    sizes = (8.0, 16.0, 32.0, 64.0, 128.0)
    network = RegionProposalNetwork(
        8, RpnSettings(anchor_sizes=sizes, batch_per_image=64), missing_iou=0.5
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def dense(rpn: RegionProposalNetwork, features: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Logits (B, N) and deltas (B, N, 4) of every anchor, by ordinary convolutions."""
    logits, deltas = [], []
    for feature in features:
        hidden = F.relu(rpn.conv(feature))
        logits.append(rpn.objectness(hidden).permute(0, 2, 3, 1).flatten(1))
        deltas.append(rpn.deltas(hidden).permute(0, 2, 3, 1).reshape(len(hidden), -1, 4))
    return torch.cat(logits, dim=1), torch.cat(deltas, dim=1)


def test_sampled_anchors_have_the_dense_values_and_gradients(rpn: RegionProposalNetwork) -> None:
    generator = torch.Generator().manual_seed(1)
    features = some_features(generator, grad=True)
    total = sum(feature[0, 0].numel() * 3 for feature in features)
    indices = torch.randint(0, total, (2, 200), generator=generator)
    indices[:, :8] = torch.tensor([0, 1, 2, total - 1, total - 12, 2303, 2304, 2305])
    weight = torch.randn(2, 200, 5, generator=generator)
    inputs = [*features, *rpn.parameters()]

    def gradients(logits: Tensor, deltas: Tensor) -> tuple[Tensor, ...]:
        value = (torch.cat([logits[..., None], deltas], dim=2).tanh() * weight).sum()
        return torch.autograd.grad(value, inputs)

    sparse = rpn._at(features, indices)
    logits, deltas = dense(rpn, features)
    chosen = logits.gather(1, indices), deltas.gather(1, indices[..., None].expand(-1, -1, 4))
    for got, want in zip(sparse, chosen, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    for got, want in zip(gradients(*sparse), gradients(*chosen), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)


def test_anchors_order_and_values(rpn: RegionProposalNetwork) -> None:
    features = some_features(torch.Generator().manual_seed(0), grad=False)
    first, second = rpn.anchors(features)[:2]
    assert first.shape == (24 * 32 * 3, 4)
    root = 2**0.5
    torch.testing.assert_close(first[0], torch.tensor([-4 * root, -2 * root, 4 * root, 2 * root]))
    torch.testing.assert_close(first[1], torch.tensor([-4.0, -4.0, 4.0, 4.0]))
    torch.testing.assert_close(
        first[3 * 32 + 4], torch.tensor([0.0, 0.0, 8.0, 8.0])
    )  # row 1, col 1
    torch.testing.assert_close(second[4], torch.tensor([0.0, -8.0, 16.0, 8.0]))


def test_losses_depend_on_seeds_not_on_neighbours(rpn: RegionProposalNetwork) -> None:
    """An image's anchors are the same in any batch: two images together are the mean of each alone."""
    features = some_features(torch.Generator().manual_seed(2), grad=False)
    targets = [some_targets(3, seed=5), some_targets(2, seed=6)]

    def run(images: list[int]) -> dict[str, Tensor]:
        generators = [targets[image].generator(torch.device("cpu")) for image in images]
        chosen = [feature[images] for feature in features]
        return rpn.losses(chosen, [targets[image] for image in images], generators=generators)

    both, first, second = run([0, 1]), run([0]), run([1])
    for name in both:  # 64 anchors per image, so that the counts are equal
        torch.testing.assert_close(both[name], (first[name] + second[name]) / 2)


def test_loss_weight_of_an_image(rpn: RegionProposalNetwork) -> None:
    features = [f[:1] for f in some_features(torch.Generator().manual_seed(2), grad=False)]
    values = []
    for weight in (1.0, 0.25):
        target = some_targets(3, seed=5, loss_weight=weight)
        generators = [target.generator(torch.device("cpu"))]
        values.append(rpn.losses(features, [target], generators=generators))
    for name in values[0]:
        torch.testing.assert_close(values[1][name], 0.25 * values[0][name])


def test_anchors_on_missing_annotations_are_left_out(rpn: RegionProposalNetwork) -> None:
    missing = torch.tensor([[16.0, 16.0, 48.0, 48.0]])
    target = some_targets(2, seed=1, ignore_boxes=missing)
    features = some_features(torch.Generator().manual_seed(0), grad=False)
    anchors = torch.cat(rpn.anchors(features))
    hit = match(anchors, missing).iou >= 0.5
    assert hit.any()
    for seed in range(20):
        sample, _ = rpn._sample(anchors, target, torch.Generator().manual_seed(seed))
        negatives = sample.indices[sample.positives :][sample.valid[sample.positives :]]
        assert not hit[negatives].any()


def test_one_setting_says_what_overlaps_a_missing_annotation() -> None:
    model = small_model({"box": {"missing_ignore_iou": 0.8}})
    missing = torch.tensor([[16.0, 16.0, 48.0, 48.0]])
    target = some_targets(0, ignore_boxes=missing)
    anchors = torch.cat([missing, torch.tensor([[16.0, 16.0, 48.0, 40.0]])])  # IoU 1 and .75
    sample, _ = model.rpn._sample(anchors, target, torch.Generator().manual_seed(0))
    assert sample.indices[sample.positives :][sample.valid[sample.positives :]].tolist() == [1]


def test_images_without_gt_keep_the_graph(rpn: RegionProposalNetwork) -> None:
    features = some_features(torch.Generator().manual_seed(0), grad=True)
    targets = [some_targets(0), some_targets(0)]
    generators = [target.generator(torch.device("cpu")) for target in targets]
    losses = rpn.losses(features, targets, generators=generators)
    assert losses["rpn_box"] == 0
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in rpn.parameters())


def test_proposals_are_inside_the_image_and_sorted(rpn: RegionProposalNetwork) -> None:
    features = some_features(torch.Generator().manual_seed(0), grad=False)
    found = rpn.propose(features, [(90, 120), (70, 100)], training=False)
    for image, (height, width) in zip(found, [(90, 120), (70, 100)], strict=True):
        assert 0 < len(image.boxes) <= 1000
        assert (image.boxes >= 0).all()
        assert (image.boxes[:, 2] <= width).all() and (image.boxes[:, 3] <= height).all()
        assert (image.logits.diff() <= 0).all()
