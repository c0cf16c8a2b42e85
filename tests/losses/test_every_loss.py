"""What holds for each loss alike: gradients, precision, empty input, normaliser and weights."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lvistk.losses import (
    boundary,
    box,
    equalization,
    equalization_v2,
    federated,
    group_softmax,
    mask,
    mask_iou,
    seesaw,
    softmax,
)

C = 6
TABLE = group_softmax.group_categories([3, 2000, 12, 9, 150, 1000])
Loss = Callable[..., Tensor]


def _group(logits: Tensor, labels: Tensor, **options: Tensor) -> Tensor:
    kept = torch.ones(len(TABLE.groups) + 1, len(labels), dtype=torch.bool)
    return group_softmax.group_softmax_loss(logits, labels, table=TABLE, kept=kept, **options)


def _equalization(logits: Tensor, labels: Tensor, **options: Tensor) -> Tensor:
    tail = torch.tensor([True, False, True, False, False, True])
    return equalization.equalization_loss(logits, labels, tail=tail, **options)


def _equalization_v2(logits: Tensor, labels: Tensor, **options: Tensor) -> Tensor:
    state = equalization_v2.GradientBalance(C)
    state.add(torch.arange(2.0 * C).view(2, C) + 1)
    balance = state.weights().to(logits.dtype if logits.dtype == torch.float64 else torch.float32)
    return equalization_v2.equalization_v2_loss(logits, labels, balance=balance, **options)


def _seesaw(logits: Tensor, labels: Tensor, **options: Tensor) -> Tensor:
    return seesaw.seesaw_loss(logits, labels, counts=torch.tensor([1, 9, 0, 3, 5, 2]), **options)


def _federated(logits: Tensor, labels: Tensor, **options: Tensor) -> Tensor:
    chosen = torch.tensor([True, False, True, True, False, True])
    return federated.federated_loss(logits, labels, categories=chosen, **options)


CLASSIFICATION: dict[str, tuple[Loss, int]] = {
    "softmax": (softmax.softmax_loss, C + 1),
    "equalization": (_equalization, C),
    "equalization_v2": (_equalization_v2, C + 1),
    "federated": (_federated, C),
    "group_softmax": (_group, TABLE.num_channels),
    "seesaw": (_seesaw, C + 2),
}
DENSE: dict[str, tuple[Loss, tuple[int, ...]]] = {
    "box_smooth_l1": (box.smooth_l1_loss, (4,)),
    "box_l1": (functools.partial(box.smooth_l1_loss, beta=0.0), (4,)),
    "mask_bce": (mask.mask_bce_loss, (5, 5)),
    "mask_balanced": (mask.balanced_mask_loss, (5, 5)),
    "boundary": (boundary.boundary_loss, (5, 5)),
    "mask_iou": (mask_iou.mask_iou_loss, ()),
}


def case(name: str, n: int) -> tuple[Loss, Tensor, Tensor]:
    """A loss, float64 predictions and targets of n RoIs."""
    generator = torch.Generator().manual_seed(n)
    if name in CLASSIFICATION:
        loss, channels = CLASSIFICATION[name]
        logits = torch.randn(n, channels, generator=generator, dtype=torch.float64)
        return loss, logits, torch.randint(C + 1, (n,), generator=generator)
    loss, shape = DENSE[name]
    logits = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return loss, logits, (torch.rand(n, *shape, generator=generator) > 0.5).double()


every_loss = pytest.mark.parametrize("name", [*CLASSIFICATION, *DENSE])


# Seesaw's factors are constants of a step, which gradcheck sees move: its gradient is tested apart.
@pytest.mark.parametrize("name", [n for n in [*CLASSIFICATION, *DENSE] if n != "seesaw"])
def test_gradient(name: str) -> None:
    loss, logits, targets = case(name, 5)
    weights = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(
        lambda x: loss(x, targets, weights=weights), logits.requires_grad_()
    )


@every_loss
def test_no_roi_gives_zero_with_a_graph(name: str) -> None:
    loss, logits, targets = case(name, 0)
    logits.requires_grad_()
    result = loss(logits, targets)
    assert result.item() == 0
    result.backward()
    assert logits.grad is not None and logits.grad.shape == logits.shape


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_a_finite_float32(name: str, dtype: torch.dtype) -> None:
    loss, logits, targets = case(name, 7)
    extreme = (logits * 300).to(dtype).requires_grad_()
    result = loss(extreme, targets)
    assert result.dtype == torch.float32 and result.isfinite()
    result.backward()
    assert extreme.grad is not None and extreme.grad.isfinite().all()


@every_loss
def test_an_image_of_weight_zero_gives_no_gradient_but_counts(name: str) -> None:
    loss, logits, targets = case(name, 6)
    weights = torch.tensor([1.0, 1, 0, 1, 0, 1])
    logits.requires_grad_()
    loss(logits, targets, weights=weights).backward()
    assert logits.grad is not None
    assert (logits.grad[weights == 0] == 0).all()
    double = loss(logits, targets, weights=2 * torch.ones(6))
    torch.testing.assert_close(double, 2 * loss(logits, targets), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", [n for n in [*CLASSIFICATION, *DENSE] if n != "group_softmax"])
def test_normalizer_replaces_the_count(name: str) -> None:
    loss, logits, targets = case(name, 6)
    if name == "mask_iou":
        targets = torch.ones_like(targets)
    expected = loss(logits, targets) * 6 / 2.5
    result = loss(logits, targets, normalizer=torch.tensor(2.5))
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=0)
    nothing = loss(logits[:0], targets[:0], normalizer=torch.tensor(0.0))
    assert nothing.item() == 0


@pytest.mark.parametrize("name", [n for n in [*CLASSIFICATION, *DENSE] if n != "group_softmax"])
def test_mean_over_two_ranks_is_the_loss_of_both(name: str) -> None:
    """Parts of 2 and 4 RoIs, each over the mean count 3, average to all 6 over 6."""
    loss, logits, targets = case(name, 6)
    if name == "mask_iou":
        targets = torch.ones_like(targets)
    parts = [
        loss(logits[part], targets[part], normalizer=torch.tensor(3.0))
        for part in (slice(0, 2), slice(2, 6))
    ]
    torch.testing.assert_close(sum(parts) / 2, loss(logits, targets), rtol=1e-12, atol=0)
