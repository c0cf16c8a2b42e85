"""Time and peak memory of deformable RoI pooling beside grid_sample's, and of RoIAlign."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from lvistk.models.deform_roi_pool import deform_roi_pool

pytestmark = pytest.mark.bench
ROIS, SIZE = 256, 14
SHAPES = ((120, 160), (60, 80), (30, 40), (15, 20))
STRIDES = (4, 8, 16, 32)


def by_grid_sample(features: list[Tensor], rois: Tensor, offsets: Tensor, levels: Tensor) -> Tensor:
    """The straightforward way: all samples of a level and image from one grid_sample, then their mean."""
    result = torch.zeros(len(rois), features[0].shape[1], SIZE, SIZE)
    steps = (torch.arange(2 * SIZE) + 0.5) / (2 * SIZE)
    for level, (feature, stride) in enumerate(zip(features, STRIDES, strict=True)):
        height, width = feature.shape[-2:]
        for image in range(len(feature)):
            chosen = ((levels == level) & (rois[:, 0] == image)).nonzero()[:, 0]
            left, top, right, bottom = (rois[chosen, 1:] / stride - 0.5).T[..., None]
            shift = 0.1 * offsets[chosen].repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = (left + (right - left) * steps)[:, None, :] + shift[:, 0] * (right - left)[
                ..., None
            ]
            y = (top + (bottom - top) * steps)[:, :, None] + shift[:, 1] * (bottom - top)[..., None]
            grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
            samples = F.grid_sample(
                feature[image][None],
                grid.view(1, -1, 1, 2),
                padding_mode="border",
                align_corners=True,
            )[0, :, :, 0]  # (C, R * 4 * P * P)
            inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
            samples = (samples * inside.flatten()).view(-1, len(chosen), 2 * SIZE, 2 * SIZE)
            pooled = F.avg_pool2d(samples, 2).transpose(0, 1)
            result = result.index_copy(0, chosen, pooled)
    return result


def by_bags(features: list[Tensor], rois: Tensor, offsets: Tensor, levels: Tensor) -> Tensor:
    return deform_roi_pool(
        features, rois, offsets, levels=levels, strides=STRIDES, output_size=SIZE
    )


def by_roi_align(features: list[Tensor], rois: Tensor, offsets: Tensor, levels: Tensor) -> Tensor:
    """Rigid: what deformable pooling is compared with."""
    result = torch.zeros(len(rois), features[0].shape[1], SIZE, SIZE)
    for level, (feature, stride) in enumerate(zip(features, STRIDES, strict=True)):
        chosen = (levels == level).nonzero()[:, 0]
        pooled = roi_align(feature, rois[chosen], SIZE, 1 / stride, 2, aligned=True)
        result = result.index_copy(0, chosen, pooled)
    return result


POOLINGS = {"embedding bags": by_bags, "grid_sample": by_grid_sample, "RoIAlign": by_roi_align}


def inputs() -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    features = [torch.randn(2, 256, *shape, requires_grad=True) for shape in SHAPES]
    corners = torch.rand(ROIS, 2) * torch.tensor([500.0, 360])
    sides = 20 + 200 * torch.rand(ROIS, 2)
    rois = torch.cat([torch.randint(2, (ROIS, 1)), corners, corners + sides], dim=1)
    offsets = torch.randn(ROIS, 2, SIZE, SIZE, requires_grad=True)
    return features, rois, offsets, torch.randint(4, (ROIS,))


def peak_memory() -> float:
    """Megabytes; not `getrusage`, whose maximum a process takes over from its parent (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(name: str) -> None:
    """Print CPU seconds forward and backward on one thread, and megabytes over the inputs', as JSON."""
    torch.set_num_threads(1)
    arguments = inputs()
    upstream = torch.randn(ROIS, 256, SIZE, SIZE)
    before = peak_memory()
    forward, backward = [], []
    for _ in range(5):
        start = time.process_time()
        pooled = POOLINGS[name](*arguments)
        middle = time.process_time()
        pooled.backward(upstream)
        forward.append(middle - start)
        backward.append(time.process_time() - middle)
    print(json.dumps([sorted(forward)[2], sorted(backward)[2], peak_memory() - before]))


def test_bags_take_less_time_and_memory_than_grid_sample() -> None:
    arguments = inputs()
    with torch.no_grad():
        torch.testing.assert_close(
            by_bags(*arguments), by_grid_sample(*arguments), rtol=1e-4, atol=1e-3
        )
    results = {}
    for name in POOLINGS:  # a process each: peak memory never falls
        code = f"from tests.bench.test_deform_roi_pool import measure; measure({name!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        results[name] = json.loads(done.stdout)
        forward, backward, memory = results[name]
        print(f"{name}: forward {forward:.3f} s, backward {backward:.3f} s, {memory:.0f} MB")
    ours, theirs = results["embedding bags"], results["grid_sample"]
    assert ours[0] + ours[1] < theirs[0] + theirs[1] and ours[2] < theirs[2]
