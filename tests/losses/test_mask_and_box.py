"""Box, mask, boundary and mask IoU losses: hand-computed cases, properties and slow twins."""

import math

import pytest
import torch
from torch import Tensor

from lvistk.losses.boundary import boundary_loss, boundary_targets
from lvistk.losses.box import smooth_l1_loss
from lvistk.losses.mask import balanced_mask_loss, foreground_weights, mask_bce_loss, squared_dice
from lvistk.losses.mask_iou import areas_in_mask_pixels, mask_iou_loss, mask_iou_targets
from tests.reference import mask_losses as twin

seeds = pytest.mark.parametrize("seed", range(5))


def random_masks(seed: int) -> tuple[Tensor, Tensor]:
    """Logits and soft targets of 4 RoIs of 6 x 6, the last one empty."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(4, 6, 6, generator=generator, dtype=torch.float64)
    targets = torch.rand(4, 6, 6, generator=generator, dtype=torch.float64)
    targets = (targets * torch.tensor([1.2, 0.7, 0.55, 0.0])[:, None, None]).clamp(max=1)
    return logits, targets


def filled(shares: list[float], size: int) -> Tensor:
    """Masks whose first pixels are set, to these shares of the area."""
    masks = torch.zeros(len(shares), size * size)
    for mask, share in zip(masks, shares, strict=True):
        mask[: round(share * size * size)] = 1
    return masks.view(-1, size, size)


def test_box_losses_by_hand() -> None:
    """Differences .5 (quadratic below beta 1: .125), 2 (1.5), 0 and -1 (.5)."""
    deltas = torch.tensor([[0.5, 2.0, 3.0, -1.0]])
    targets = torch.tensor([[0.0, 0.0, 3.0, 0.0]])
    assert smooth_l1_loss(deltas, targets, beta=1.0).item() == pytest.approx(2.125)
    assert smooth_l1_loss(deltas, targets, beta=0.0).item() == pytest.approx(3.5)
    normalizer = torch.tensor(4.0)
    mean = smooth_l1_loss(deltas, targets, beta=0.0, normalizer=normalizer)
    assert mean.item() == pytest.approx(0.875)


@seeds
def test_box_twin(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    deltas, targets = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    expected = sum(
        twin.smooth_l1(a, b, 0.7) for a, b in zip(deltas.tolist(), targets.tolist(), strict=True)
    )
    result = smooth_l1_loss(deltas, targets, beta=0.7)
    torch.testing.assert_close(result.item(), expected / 5)


@seeds
def test_mask_twins(seed: int) -> None:
    logits, targets = random_masks(seed)
    pairs = list(zip(logits.tolist(), targets.tolist(), strict=True))
    expected = sum(twin.mask_bce(*pair) for pair in pairs) / 4
    torch.testing.assert_close(mask_bce_loss(logits, targets).item(), expected)
    for cap in (None, 2.0):
        expected = sum(twin.balanced_mask(*pair, cap or math.inf) for pair in pairs) / 4
        result = balanced_mask_loss(logits, targets, max_weight=cap)
        torch.testing.assert_close(result.item(), expected)


def test_foreground_weights_by_hand() -> None:
    masks = filled([1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.0], 20)
    expected = torch.tensor([1.0, 1, 2, 5, 10, 50, 200])
    torch.testing.assert_close(foreground_weights(masks), expected)
    assert foreground_weights(masks, max_weight=7.0).tolist() == [1, 1, 2, 5, 7, 7, 7]
    assert foreground_weights(filled([1 / 784], 28)).item() == 392


def test_thin_masks_hold_half_the_weight_of_their_box() -> None:
    """For a share under .5, foreground weight times foreground area is half the box."""
    masks = filled([0.45, 0.3, 0.11, 0.02], 28)
    mass = foreground_weights(masks) * masks.sum(dim=(1, 2))
    torch.testing.assert_close(mass, torch.full((4,), 392.0))


def test_compact_masks_get_plain_cross_entropy() -> None:
    targets = filled([0.5, 0.8, 1.0], 10).double()
    logits = torch.randn(3, 10, 10, dtype=torch.float64)
    plain = mask_bce_loss(logits, targets)
    torch.testing.assert_close(balanced_mask_loss(logits, targets, dice_weight=0.0), plain)
    double = balanced_mask_loss(logits, targets, dice_weight=0.0, bce_weight=2.0)
    torch.testing.assert_close(double, 2 * plain)


def test_balanced_loss_by_hand() -> None:
    """2 x 2, one pixel of foreground, logits 0: weight 2, so 5/4 log 2; dice 1 - (1 + 1) / (1 + 1 + 1)."""
    targets = torch.tensor([[[1.0, 0], [0, 0]]])
    loss = balanced_mask_loss(torch.zeros(1, 2, 2), targets)
    assert loss.item() == pytest.approx(1.25 * math.log(2) + 1 / 3)


def test_dice_properties() -> None:
    masks = filled([0.3, 0.0, 1.0], 8).double()
    assert squared_dice(masks, masks).abs().max() < 1e-12
    values = squared_dice(1 - masks, masks)
    assert (values >= 0).all() and (values < 1).all()


def test_boolean_targets_are_masks_too() -> None:
    logits, targets = random_masks(0)
    hard = targets >= 0.5
    torch.testing.assert_close(mask_bce_loss(logits, hard), mask_bce_loss(logits, hard.double()))
    result = balanced_mask_loss(logits, hard)
    torch.testing.assert_close(result, balanced_mask_loss(logits, hard.double()))


def test_boundary_of_a_square_by_hand() -> None:
    """A 3 x 3 square loses its middle only; one that fills the crop keeps a frame."""
    square = torch.zeros(1, 5, 5)
    square[0, 1:4, 1:4] = 1
    expected = square.clone()
    expected[0, 2, 2] = 0
    torch.testing.assert_close(boundary_targets(square), expected, rtol=0, atol=0)
    frame = torch.ones(1, 5, 5)
    frame[0, 1:4, 1:4] = 0
    torch.testing.assert_close(boundary_targets(torch.ones(1, 5, 5)), frame, rtol=0, atol=0)
    assert boundary_targets(torch.zeros(1, 5, 5)).sum() == 0
    assert boundary_targets(torch.zeros(0, 5, 5)).shape == (0, 5, 5)


@seeds
def test_boundary_twins(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(3, 7, 7, generator=generator) > 0.2).double()
    targets = boundary_targets(masks)
    assert targets.tolist() == [twin.boundary_target(mask) for mask in masks.tolist()]
    logits = torch.randn(3, 7, 7, generator=generator, dtype=torch.float64)
    pairs = zip(logits.tolist(), targets.tolist(), strict=True)
    expected = sum(twin.boundary_loss(*pair) for pair in pairs) / 3
    torch.testing.assert_close(boundary_loss(logits, targets).item(), expected)


def test_mask_iou_target_by_hand() -> None:
    """Predicted 2 pixels, 1 of them right; the ground truth has 2 inside the RoI and 4 in whole: 1 / 5."""
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]])
    gt = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    whole = torch.tensor([4.0])
    torch.testing.assert_close(mask_iou_targets(logits, gt, whole_areas=whole).item(), 0.2)
    small = torch.tensor([1.5])  # rasterised larger than it is: the 2 pixels inside count
    assert mask_iou_targets(logits, gt, whole_areas=small).item() == pytest.approx(1 / 3)


@seeds
def test_mask_iou_target_twin(seed: int) -> None:
    logits, targets = random_masks(seed)
    whole = torch.tensor([40.0, 10.0, 12.0, 0.0])
    expected = [
        twin.mask_iou_target(*triple)
        for triple in zip(logits.tolist(), targets.tolist(), whole.tolist(), strict=True)
    ]
    result = mask_iou_targets(logits, targets, whole_areas=whole)
    torch.testing.assert_close(result, torch.tensor(expected))


def test_areas_in_mask_pixels() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 20], [5, 5, 5, 9]])
    areas = areas_in_mask_pixels(torch.tensor([50.0, 3.0]), boxes, mask_size=28)
    torch.testing.assert_close(areas, torch.tensor([50 / 200 * 784, 0.0]))


def test_mask_iou_loss_is_half_the_square_over_positive_targets() -> None:
    predicted = torch.tensor([0.5, 0.9, 0.2])
    targets = torch.tensor([1.0, 0.0, 0.4])
    loss = mask_iou_loss(predicted, targets)
    assert loss.item() == pytest.approx(0.5 * (0.25 + 0.04) / 2)
    assert mask_iou_loss(predicted, torch.zeros(3)).item() == 0


def test_a_target_pixel_of_exactly_half_is_foreground() -> None:
    """Two of four pixels are .5, and all are predicted: an IoU of 2 / 4."""
    targets = torch.tensor([[[0.5, 0.5], [0.49, 0.0]]])
    iou = mask_iou_targets(torch.ones(1, 2, 2), targets, whole_areas=torch.tensor([2.0]))
    torch.testing.assert_close(iou, torch.tensor([0.5]))
    absent = mask_iou_targets(torch.ones(1, 2, 2), targets - 0.1, whole_areas=torch.zeros(1))
    assert absent.tolist() == [0]
