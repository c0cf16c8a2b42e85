"""Deformable RoI pooling: RoIAlign at zero offsets, a slow twin elsewhere, and its gradients."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from lvistk.models.bilinear_bags import average_samples, cell_table
from lvistk.models.deform_roi_pool import DeformRoIPool, deform_roi_pool
from tests.reference import deform_roi_pool as twin

STRIDES = (4, 8)


def pyramid(channels: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Two levels of two images of 64 x 96 pixels."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, channels, 64 // s, 96 // s, generator=generator, dtype=torch.float64).to(
            dtype
        )
        for s in STRIDES
    ]


def random_rois(number: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """RoIs, many of them partly outside and one wholly, and their levels."""
    generator = torch.Generator().manual_seed(1)
    corners = 110 * torch.rand(number, 2, generator=generator) - 25
    sides = 60 * torch.rand(number, 2, generator=generator)
    images = torch.randint(2, (number, 1), generator=generator)
    rois = torch.cat([images, corners, corners + sides], dim=1).to(dtype)
    rois[-1, 1:] = torch.tensor([200.0, 200, 230, 230])
    return rois, torch.randint(2, (number,), generator=generator)


@pytest.mark.parametrize("size", [7, 14])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_zero_offsets_are_roi_align(size: int, memory_format: torch.memory_format) -> None:
    features = [f.to(memory_format=memory_format) for f in pyramid(3)]
    rois, levels = random_rois(40)
    expected = torch.zeros(40, 3, size, size)
    for level, (feature, stride) in enumerate(zip(features, STRIDES, strict=True)):
        chosen = levels == level
        expected[chosen] = roi_align(feature, rois[chosen], size, 1 / stride, 2, aligned=True)
    zero = torch.zeros(40, 2, size, size)
    for offsets in (None, zero):
        result = deform_roi_pool(
            features, rois, offsets, levels=levels, strides=STRIDES, output_size=size
        )
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def line_rois() -> Tensor:
    """Long thin boxes of 880 x 40 pixels and 40 x 880, one wide and one compact, in P2 of 1024 px."""
    corners = [[8.0, 300, 888, 340], [300, 8, 340, 888], [8, 8, 888, 888], [100, 100, 150, 150]]
    return torch.tensor([[0.0, *corner] for corner in corners])


def test_a_line_of_one_cell_falls_between_no_samples() -> None:
    """Up to 16 cells per bin (896 px on P2) no line is lost; with 2 x 2 samples many are."""
    rois, levels = line_rois(), torch.zeros(4, dtype=torch.int64)
    missed = {2: 0, 8: 0}
    for column in range(4, 220, 11):
        line = torch.zeros(1, 1, 256, 256)
        line[..., column] = 1.0
        for most in missed:
            pooled = deform_roi_pool(
                [line], rois, levels=levels, strides=(4,), output_size=14, max_ratio=most
            )[:, 0]
            bins = (column + 0.5 - rois[:, 1] / 4) * 14 / ((rois[:, 3] - rois[:, 1]) / 4)
            inside = (bins > 0) & (bins < 14)
            missed[most] += int((pooled[inside] == 0).flatten(1).all(1).sum())
    assert missed[2] > 10 and missed[8] == 0, missed


def test_small_bins_take_the_usual_samples() -> None:
    rois, levels = random_rois(40)
    plain, grown = (
        deform_roi_pool(
            pyramid(3), rois, levels=levels, strides=STRIDES, output_size=7, max_ratio=most
        )
        for most in (0, 8)
    )
    torch.testing.assert_close(grown, plain, rtol=0, atol=0)


@pytest.mark.parametrize("size", [7, 14])
def test_growing_samples_are_near_the_adaptive_roi_align(size: int) -> None:
    """Smooth maps: half as many samples per side as RoIAlign's own rule takes, and its values."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 2, 32, 32, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(256, 256), mode="bilinear")
    rois = line_rois()
    expected = roi_align(smooth, rois, size, 1 / 4, 0, aligned=True)
    far = []
    for most in (2, 8):
        result = deform_roi_pool(
            [smooth],
            rois,
            levels=torch.zeros(4, dtype=torch.int64),
            strides=(4,),
            output_size=size,
            max_ratio=most,
        )
        far.append((result - expected).abs().max().item())
    assert far[1] < 0.1 and far[1] < far[0] / 3, far


def test_growing_samples_have_gradients_and_take_no_rois() -> None:
    rois = line_rois().double()
    feature = torch.randn(1, 1, 10, 10, dtype=torch.float64, requires_grad=True)
    shift = 0.1 * torch.randn(4, 2, 2, 2, dtype=torch.float64)
    small = torch.cat([rois[:, :1], rois[:, 1:] / 24], dim=1)

    def pool(maps: Tensor, offsets: Tensor, boxes: Tensor) -> Tensor:
        levels = torch.zeros(len(boxes), dtype=torch.int64)
        return deform_roi_pool(
            [maps], boxes, offsets, levels=levels, strides=(4,), output_size=2, max_ratio=8
        )

    assert torch.autograd.gradcheck(
        lambda maps, offsets: pool(maps, offsets, small), (feature, shift.requires_grad_())
    )
    empty = pool(feature, shift[:0], small[:0])
    assert empty.shape == (0, 1, 2, 2) and empty.requires_grad


@pytest.mark.parametrize("samples", [1, 2])
def test_twin(samples: int) -> None:
    features = pyramid(1, torch.float64)
    rois, levels = random_rois(12, torch.float64)
    offsets = 2 * torch.randn(12, 2, 3, 3, dtype=torch.float64)
    expected = [
        twin.pool(
            features[level][int(roi[0]), 0].tolist(), roi[1:], STRIDES[level], shift, 3, samples
        )
        for roi, level, shift in zip(rois.tolist(), levels.tolist(), offsets.tolist(), strict=True)
    ]
    result = deform_roi_pool(
        features,
        rois,
        offsets,
        levels=levels,
        strides=STRIDES,
        output_size=3,
        sampling_ratio=samples,
    )
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(result[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_an_offset_moves_a_bin_by_tenths_of_the_roi() -> None:
    """On a map that is its own x position, a RoI of 5 cells and an offset of 2 give 2 * .1 * 5 = 1 more."""
    ramp = torch.arange(24.0).expand(1, 1, 16, 24)
    rois = torch.tensor([[0.0, 20, 20, 40, 40]])
    offsets = torch.zeros(1, 2, 2, 2)
    offsets[0, 0, 1, 1] = 2
    levels = torch.zeros(1, dtype=torch.int64)
    still, shifted = (
        deform_roi_pool([ramp], rois, shift, levels=levels, strides=(4,), output_size=2)
        for shift in (None, offsets)
    )
    expected = torch.tensor([[[[0.0, 0], [0, 1]]]])
    torch.testing.assert_close(shifted - still, expected, rtol=0, atol=1e-5)


def test_gradcheck() -> None:
    features = [f[..., :6, :7].clone().requires_grad_() for f in pyramid(1, torch.float64)]
    rois, levels = random_rois(5, torch.float64)
    rois[:4, 1:] = rois[:4, 1:].clamp(-6, 40)
    offsets = torch.randn(5, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda shift, *maps: deform_roi_pool(
            maps, rois, shift, levels=levels, strides=STRIDES, output_size=2
        ),
        (offsets, *features),
    )


def test_maps_of_one_cell_and_half_precision() -> None:
    features = [torch.full((1, 2, 1, 1), 3.0, dtype=torch.bfloat16)]
    rois = torch.tensor([[0.0, 0, 0, 32, 32]])
    levels = torch.zeros(1, dtype=torch.int64)
    result = deform_roi_pool(features, rois, levels=levels, strides=(32,), output_size=2)
    assert result.dtype == torch.bfloat16 and (result == 3).all()


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("size", [7, 14])
def test_module_starts_as_roi_align_and_learns_its_offsets(modulated: bool, size: int) -> None:
    features = pyramid(4)
    rois, levels = random_rois(6)
    pool = DeformRoIPool(4, size, strides=STRIDES, modulated=modulated, hidden=8)
    start = deform_roi_pool(features, rois, levels=levels, strides=STRIDES, output_size=size)
    torch.testing.assert_close(pool(features, rois, levels), start, rtol=1e-6, atol=1e-6)
    pool(features, rois, levels).square().sum().backward()
    last = pool.offsets[-1]
    assert (last.bias.grad.view(2 + modulated, -1).abs().sum(dim=1) > 0).all()
    with torch.no_grad():
        last.bias += 1.0
    assert (pool(features, rois, levels) - start).abs().max() > 1e-2


@pytest.mark.parametrize("modulated", [False, True])
def test_no_roi_keeps_the_graph(modulated: bool) -> None:
    features = [f.requires_grad_() for f in pyramid(4)]
    pool = DeformRoIPool(4, 14, strides=STRIDES, modulated=modulated, hidden=8)
    out = pool(features, torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))
    assert out.shape == (0, 4, 14, 14)
    out.sum().backward()
    for tensor in [*features, *pool.parameters()]:
        assert tensor.grad is not None and (tensor.grad == 0).all()


def test_a_moving_bin_learns_to_find_its_object() -> None:
    """Gradient descent on the offsets moves a bin onto a blob that rigid pooling misses."""
    ys, xs = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    blob = torch.exp(-((xs - 9) ** 2 + (ys - 6) ** 2) / 8)[None, None]
    rois = torch.tensor([[0.0, 16, 16, 48, 48]])
    levels = torch.zeros(1, dtype=torch.int64)
    offsets = torch.zeros(1, 2, 1, 1, requires_grad=True)
    optimizer = torch.optim.SGD([offsets], lr=20.0)
    losses = []
    for _ in range(40):
        pooled = deform_roi_pool([blob], rois, offsets, levels=levels, strides=(4,), output_size=1)
        optimizer.zero_grad()
        (1 - pooled).sum().backward()
        optimizer.step()
        losses.append(1 - pooled.item())
    # the RoI's two samples per side are 4 cells apart: the best a bin centred on the blob can have
    assert losses[-1] < losses[0] - 0.01
    centre = 7.5 + 0.8 * offsets.detach()[0, :, 0, 0]
    torch.testing.assert_close(centre, torch.tensor([9.0, 6.0]), rtol=0, atol=0.1)


def test_samples_at_the_border() -> None:
    """Up to one cell outside a sample takes the border's value, that distance included; then it is 0."""
    height, width = 3, 5
    cells = torch.arange(1.0, 1 + height * width).view(1, 1, height, width)
    inside, outside = torch.tensor([-1.0, -0.5]), torch.tensor([-1.001, -7.0])
    for axis, size in (("x", width), ("y", height)):
        for near, expected in ((inside, True), (outside, False)):
            for position in (near, size - 1 - near):  # before the first cell, behind the last
                at = {"x": torch.ones(2), "y": torch.ones(2)} | {axis: position}
                means = average_samples(
                    cell_table([cells]),
                    images=torch.tensor([0]),
                    levels=torch.tensor([0]),
                    x=at["x"].view(1, 2, 1),
                    y=at["y"].view(1, 2, 1),
                )[0, :, 0]
                border = 0 if position is near else size - 1
                value = cells[0, 0, 1, border] if axis == "x" else cells[0, 0, border, 1]
                assert means.tolist() == [value.item() if expected else 0.0] * 2, (axis, position)
