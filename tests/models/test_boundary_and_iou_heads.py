"""Boundary branch and mask IoU head against their twins, at the start, and empty."""

import torch
from torch import Tensor, nn

from lvistk.models.boundary_head import BoundaryBranch
from lvistk.models.mask_iou_head import MaskIouHead
from tests.models.build_small import small_model
from tests.reference import mask_heads as twin

LABELS = torch.tensor([2, 0, 2])


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return module.double()


def boundary_inputs(number: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.randn(number, 4, 6, 6, dtype=torch.float64).relu()
    return mask, torch.randn(number, 4, 12, 12, dtype=torch.float64)


def test_boundary_twin() -> None:
    branch = randomised(BoundaryBranch(4, 3))
    mask, fine = boundary_inputs()
    boundary = branch(branch.entered(mask, fine))
    fused = branch.fused(mask, boundary)
    expected = twin.branch(dict(branch.state_dict()), mask, fine, LABELS.tolist())
    torch.testing.assert_close((fused, branch.predict(boundary, LABELS)), expected)


def test_boundary_branch_starts_by_leaving_the_masks_as_they_are() -> None:
    branch = BoundaryBranch(4, 3).double()
    mask, fine = boundary_inputs()
    boundary = branch(branch.entered(mask, fine))
    fused = branch.fused(mask, boundary)
    assert fused.equal(mask)
    assert branch.predict(boundary, LABELS).shape == (3, 12, 12)


def test_the_mask_loss_reaches_the_boundary_branch_after_one_step() -> None:
    branch = BoundaryBranch(4, 3).double()
    mask, fine = boundary_inputs()
    optimizer = torch.optim.SGD(branch.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        fused = branch.fused(mask, branch(branch.entered(mask, fine)))
        fused.square().sum().backward()
        grad = branch.downsample.weight.grad
        assert grad is not None and bool((grad != 0).any()) == (step == 1)
        optimizer.step()


def test_no_roi_keeps_the_graph() -> None:
    none = LABELS[:0]
    mask, fine = (x.requires_grad_() for x in boundary_inputs(0))
    branch = BoundaryBranch(4, 3).double()
    boundary = branch(branch.entered(mask, fine))
    fused = branch.fused(mask, boundary)
    logits = branch.predict(boundary, none)
    assert fused.shape == (0, 4, 6, 6) and logits.shape == (0, 12, 12)
    (fused.sum() + logits.sum()).backward()
    head = MaskIouHead(4, 3, mask_size=6, conv_channels=5, fc_channels=7).double()
    head(mask, logits, none).sum().backward()
    for parameter in [*branch.parameters(), *head.parameters()]:
        assert parameter.grad is not None and (parameter.grad == 0).all()


def test_mask_iou_twin() -> None:
    head = randomised(MaskIouHead(4, 3, mask_size=6, conv_channels=5, fc_channels=7))
    roi, logits = boundary_inputs()[0], torch.randn(3, 12, 12, dtype=torch.float64)
    expected = twin.mask_iou(dict(head.state_dict()), roi, logits, LABELS.tolist())
    torch.testing.assert_close(head(roi, logits, LABELS), expected)


def test_mask_iou_sends_no_gradient_into_the_masks() -> None:
    head = MaskIouHead(4, 3, mask_size=6, conv_channels=5, fc_channels=7)
    roi = torch.randn(2, 4, 6, 6, requires_grad=True)
    logits = torch.randn(2, 12, 12, requires_grad=True)
    head(roi, logits, LABELS[:2]).sum().backward()
    assert logits.grad is None and roi.grad is not None and (roi.grad != 0).any()


def test_published_sizes() -> None:
    """14 x 14 features and 28 x 28 masks: the first fully connected layer sees 256 x 7 x 7."""
    head = MaskIouHead(256, 80)
    assert head.fcs[1].in_features == 256 * 7 * 7
    assert head.predictor.weight.shape == (80, 1024, 1, 1)


def test_widths_of_the_settings_reach_the_model() -> None:
    widths = {"mask_iou": True, "mask_iou_channels": 6, "mask_iou_fc_channels": 10}
    model = small_model({"mask": {**widths, "pool_size": 14}})
    assert model.roi_heads.mask.iou_head.fcs[1].weight.shape == (10, 6 * 7 * 7)
