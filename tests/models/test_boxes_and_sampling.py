import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from lvistk.models import box_coder, matcher
from lvistk.models.matcher import match, overlaps_any
from lvistk.models.samples import SamplingRule, sample_rois
from lvistk.models.sampling import sample
from tests.models.build_small import some_targets

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def some_boxes(number: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator) * 50
    return torch.cat([corner, corner + 2 + torch.rand(number, 2, generator=generator) * 40], dim=1)


def test_encoding_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    gt = torch.tensor([[5.0, 0.0, 25.0, 20.0]])  # centre +10 along x, twice as wide
    deltas = box_coder.encode(gt, boxes, weights=WEIGHTS)
    torch.testing.assert_close(deltas, torch.tensor([[10.0, 0.0, 5 * math.log(2), 0.0]]))


def test_decoding_inverts_encoding() -> None:
    boxes, gt = some_boxes(20), some_boxes(20, 1)
    deltas = box_coder.encode(gt, boxes, weights=WEIGHTS)
    decoded = box_coder.decode(deltas, boxes, weights=WEIGHTS)
    torch.testing.assert_close(decoded, gt, rtol=1e-4, atol=1e-3)
    many = box_coder.decode(deltas[:, None].expand(-1, 3, -1), boxes, weights=WEIGHTS)
    torch.testing.assert_close(many[:, 2], decoded)


def test_huge_deltas_are_bounded() -> None:
    box = box_coder.decode(
        torch.full((1, 4), 1e4), torch.tensor([[0.0, 0.0, 16.0, 16.0]]), weights=WEIGHTS
    )
    torch.testing.assert_close(box[:, 2] - box[:, 0], torch.tensor([1000.0]))


def test_clipping() -> None:
    box = torch.tensor([[[-5.0, -5.0, 50.0, 90.0]]])
    assert box_coder.clip(box, (40, 30)).tolist() == [[[0.0, 0.0, 30.0, 40.0]]]


@pytest.mark.parametrize("chunk", [2**23, 64])
def test_matching_in_chunks(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(matcher, "CHUNK_ELEMENTS", chunk)
    boxes, gts = some_boxes(30), some_boxes(11, 1)
    overlaps = box_iou(boxes, gts)
    found = match(boxes, gts)
    torch.testing.assert_close(found.iou, overlaps.amax(dim=1))
    hit = found.iou > 0
    assert torch.equal(found.gt[hit], overlaps.argmax(dim=1)[hit])
    best = {int(overlaps[:, g].argmax()) for g in range(11) if overlaps[:, g].max() > 0}
    assert set(found.is_best.nonzero().squeeze(1).tolist()) == best


def test_matching_nothing() -> None:
    for boxes, gts in ((some_boxes(3), torch.zeros(0, 4)), (torch.zeros(0, 4), some_boxes(3))):
        found = match(boxes, gts)
        assert found.iou.tolist() == [0.0] * len(boxes)
        assert not found.is_best.any()
    assert not overlaps_any(some_boxes(3), torch.zeros(0, 4), iou=0.5).any()


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(st.sampled_from("pni"), max_size=40),
    number=st.integers(0, 30),
    fraction=st.sampled_from([0.0, 0.25, 0.5]),
    seed=st.integers(0, 99),
)
def test_samples_are_of_their_kind_and_as_many_as_can_be(
    kinds: list[str], number: int, fraction: float, seed: int
) -> None:
    positive = torch.tensor([kind == "p" for kind in kinds], dtype=torch.bool)
    negative = torch.tensor([kind == "n" for kind in kinds], dtype=torch.bool)
    drawn = sample(
        positive,
        negative,
        number=number,
        positive_fraction=fraction,
        generator=torch.Generator().manual_seed(seed),
    )
    first = drawn.indices[: drawn.positives][drawn.valid[: drawn.positives]]
    others = drawn.indices[drawn.positives :][drawn.valid[drawn.positives :]]
    assert positive[first].all() and negative[others].all()
    assert len(first) == min(int(number * fraction), int(positive.sum()))
    assert len(others) == min(number - len(first), int(negative.sum()))
    assert len({*first.tolist(), *others.tolist()}) == len(first) + len(others)


RULE = SamplingRule(iou=0.5, number=64, positive_fraction=0.25, ignore_iou=0.5, background=7)


def test_gt_boxes_join_and_know_their_gt() -> None:
    target = some_targets(5)
    samples = sample_rois(
        [some_boxes(100)], [target], rule=RULE, generators=[target.generator(torch.device("cpu"))]
    )
    assert samples.lengths == [64] and 5 <= samples.positives[0] <= 16
    positives = samples.only_positives()
    assert (positives.labels < 7).all() and (samples.labels == 7).sum() == 64 - len(positives)
    assert torch.equal(positives.gt_boxes, target.boxes[positives.gt])
    assert torch.equal(positives.labels, target.labels[positives.gt])
    gts = positives.boxes[positives.is_gt]
    assert torch.equal(gts, target.boxes[positives.gt[positives.is_gt]])


@pytest.mark.parametrize("number", [0, 2])
def test_rois_on_missing_annotations_are_left_out(number: int) -> None:
    missing = torch.tensor([[100.0, 100.0, 140.0, 140.0]])
    target = some_targets(number, ignore_boxes=missing)
    near = missing + torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    samples = sample_rois(
        [torch.cat([near, some_boxes(20)])], [target], rule=RULE, generators=[torch.Generator()]
    )
    assert len(samples) and not (box_iou(samples.boxes, missing) >= 0.5).any()


def test_no_box_and_no_gt() -> None:
    samples = sample_rois(
        [torch.zeros(0, 4)], [some_targets(0)], rule=RULE, generators=[torch.Generator()]
    )
    assert len(samples) == 0 and samples.rois().shape == (0, 5)
    assert len(samples.only_positives()) == 0
