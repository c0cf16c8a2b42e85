"""The class-specific convolution against the full one."""

import pytest
import torch
from torch import nn

from lvistk.models.gathered_conv import GatheredConv2d


def pair(num_categories: int) -> tuple[GatheredConv2d, nn.Conv2d]:
    torch.manual_seed(0)
    full = nn.Conv2d(8, num_categories, 1).double()
    gathered = GatheredConv2d(8, num_categories).double()
    gathered.load_state_dict(full.state_dict())
    return gathered, full


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_the_picked_channel_and_its_gradients(memory_format: torch.memory_format) -> None:
    gathered, full = pair(5)
    labels = torch.tensor([3, 0, 3, 4, 4, 3])
    features = torch.randn(6, 8, 4, 4, dtype=torch.float64).to(memory_format=memory_format)
    upstream = torch.randn(6, 4, 4, dtype=torch.float64)
    results = []
    for module in (gathered, full):
        x = features.clone().requires_grad_()
        out = module(x, labels) if module is gathered else module(x)[torch.arange(6), labels]
        out.backward(upstream)
        results.append([out, x.grad, module.weight.grad, module.bias.grad])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradcheck() -> None:
    gathered, _ = pair(3)
    labels = torch.tensor([1, 1, 0])
    features = torch.randn(3, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, *_: gathered(x, labels), (features, gathered.weight, gathered.bias)
    )


def test_no_roi_keeps_the_graph() -> None:
    gathered, _ = pair(3)
    out = gathered(torch.zeros(0, 8, 4, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
    assert out.shape == (0, 4, 4)
    out.sum().backward()
    assert gathered.weight.grad is not None and (gathered.weight.grad == 0).all()
