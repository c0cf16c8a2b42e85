"""Mask level assignment: Eq. 1 as meant and as printed."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from lvistk.models.mask_assignment import Assignment, mask_levels, moved, scale_levels
from tests.reference import mask_assignment as twin


def squares(sides: list[float]) -> Tensor:
    return torch.tensor([[10.0, 20.0, 10 + side, 20 + side] for side in sides])


def test_the_table_of_both_readings() -> None:
    boxes = squares([28, 57, 80, 100, 113, 225, 449])
    full = torch.ones(7)
    assert mask_levels(boxes, full).tolist() == [0, 0, 0, 0, 1, 2, 3]
    assert mask_levels(boxes, full, assignment="printed").tolist() == [0, 1, 2, 3, 3, 3, 3]


def test_the_area_ratio_caps_the_level() -> None:
    boxes = squares([500] * 7)
    ratios = torch.tensor([0.0, 0.24, 0.25, 0.49, 0.5, 0.75, 1.0])
    assert mask_levels(boxes, ratios).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert mask_levels(boxes, ratios, assignment="scale").tolist() == [3] * 7


@pytest.mark.parametrize("rule", get_args(Assignment))
@pytest.mark.parametrize("canonical", [56.0, 9.0])
def test_twin(rule: Assignment, canonical: float) -> None:
    generator = torch.Generator().manual_seed(0)
    corners = 300 * torch.rand(200, 2, generator=generator)
    sides = 700 * torch.rand(200, 2, generator=generator) ** 2
    boxes = torch.cat([corners, corners + sides], dim=1)
    ratios = torch.rand(200, generator=generator)
    expected = [
        twin.level(box, ratio, rule, canonical)
        for box, ratio in zip(boxes.tolist(), ratios.tolist(), strict=True)
    ]
    result = mask_levels(boxes, ratios, assignment=rule, canonical_size=canonical)
    assert result.tolist() == expected


def test_properties() -> None:
    """A full box is Mask R-CNN's; never coarser than it; no less in the ratio or in the box."""
    sides = torch.linspace(1, 900, 40)
    boxes = squares(sides.tolist())
    baseline = scale_levels(boxes)
    assert mask_levels(boxes, torch.ones(40)).equal(baseline)
    ratios = torch.linspace(0, 1, 21)
    levels = torch.stack([mask_levels(boxes, ratio.expand(40)) for ratio in ratios])
    assert (levels <= baseline).all()
    assert (levels.diff(dim=0) >= 0).all() and (levels.diff(dim=1) >= 0).all()
    assert (levels[0] == 0).all()


@pytest.mark.parametrize("rule", get_args(Assignment))
def test_boxes_without_area_and_no_boxes(rule: Assignment) -> None:
    boxes = torch.tensor([[5.0, 5, 5, 9], [7, 7, 3, 3]])
    ratios = torch.tensor([torch.nan, 0.9])
    assert mask_levels(boxes, ratios, assignment=rule).tolist() == [0, 0]
    assert mask_levels(boxes[:0], ratios[:0], assignment=rule).shape == (0,)


def test_moved_counts_the_changed_levels() -> None:
    boxes = squares([50, 300, 500, 500])
    levels = mask_levels(boxes, torch.tensor([0.1, 0.1, 0.6, 0.9]))
    assert moved(levels, boxes).tolist() == [2, 4]
    assert moved(levels[:0], boxes[:0]).tolist() == [0, 0]
