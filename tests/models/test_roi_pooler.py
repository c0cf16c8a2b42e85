import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from lvistk.models.roi_pooler import RoiPooler


def some_input(number: int = 9) -> tuple[list[Tensor], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = [
        torch.randn(2, 3, 32 // 2**n, 40 // 2**n, generator=generator, requires_grad=True)
        for n in range(4)
    ]
    corner = torch.rand(number, 2, generator=generator) * 100
    boxes = torch.cat([corner, corner + 4 + 60 * torch.rand(number, 2, generator=generator)], dim=1)
    image = torch.arange(number)[:, None] % 2
    return features, torch.cat([image, boxes], dim=1), torch.arange(number) % 4


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_each_roi_from_its_level(sampling_ratio: int, aligned: bool) -> None:
    features, rois, levels = some_input()
    pooled = RoiPooler(7, sampling_ratio=sampling_ratio, aligned=aligned)(features, rois, levels)
    for row, roi, level in zip(pooled, rois, levels.tolist(), strict=True):
        scale = 1 / 2 ** (level + 2)
        want = roi_align(features[level], roi[None], 7, scale, sampling_ratio, aligned)
        torch.testing.assert_close(row, want[0], rtol=1e-4, atol=1e-5)


def test_the_fast_path_has_the_same_gradients() -> None:
    features, rois, levels = some_input()
    pooler = RoiPooler(7, sampling_ratio=2, aligned=True)
    weight = torch.randn(9, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    fast, slow = (
        torch.autograd.grad((pool(features, rois, levels) * weight).sum(), features)
        for pool in (pooler, pooler.pool_by_level)
    )
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_no_roi_keeps_the_graph(sampling_ratio: int) -> None:
    features, rois, levels = some_input(0)
    pooled = RoiPooler(7, sampling_ratio=sampling_ratio, aligned=True)(features, rois, levels)
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert all(feature.grad is not None for feature in features)
