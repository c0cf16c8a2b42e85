"""Time and peak memory of deformable convolution on a CPU beside torchvision's kernel; equal results."""

import json
import subprocess
import sys
import time

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from lvistk.models.deform_conv import DeformConv2d
from tests.bench.test_deform_roi_pool import peak_memory

pytestmark = pytest.mark.bench
LAYERS = {  # channels, height and width of a ResNet's c3, c4 and c5 on an image of 800 x 1216
    "c3": (128, 100, 152),
    "c4": (256, 50, 76),
    "c5": (512, 25, 38),
}


def layer(name: str) -> tuple[DeformConv2d, Tensor]:
    """With offsets of about a cell, and its input."""
    torch.manual_seed(0)
    channels, height, width = LAYERS[name]
    module = DeformConv2d(nn.Conv2d(channels, channels, 3, padding=1), version="v1")
    nn.init.normal_(module.offset.weight, std=0.03)
    return module, torch.randn(1, channels, height, width, requires_grad=True)


def by_sampling(module: DeformConv2d, x: Tensor) -> Tensor:
    return module(x)


def by_torchvision(module: DeformConv2d, x: Tensor) -> Tensor:
    return deform_conv2d(x, module.offset(x), module.weight, module.bias, padding=(1, 1))


WAYS = {"sampling": by_sampling, "torchvision": by_torchvision}


def measure(way: str, name: str) -> None:
    """Print seconds forward and backward on one thread, and megabytes over the inputs', as JSON."""
    torch.set_num_threads(1)
    module, x = layer(name)
    before = peak_memory()
    forward, backward = [], []
    for _ in range(5):
        start = time.process_time()
        result = WAYS[way](module, x)
        middle = time.process_time()
        result.sum().backward()
        forward.append(middle - start)
        backward.append(time.process_time() - middle)
    print(json.dumps([sorted(forward)[2], sorted(backward)[2], peak_memory() - before]))


@pytest.mark.parametrize("name", LAYERS)
def test_sampling_takes_less_time_than_torchvisions_kernel(name: str) -> None:
    with torch.no_grad():
        expected, result = (way(*layer(name)) for way in WAYS.values())
        torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3)
    times = {}
    for way in WAYS:  # a process each: peak memory never falls
        code = f"from tests.bench.test_deform_conv import measure; measure({way!r}, {name!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        forward, backward, memory = json.loads(done.stdout)
        print(f"{name}, {way}: forward {forward:.3f} s, backward {backward:.3f} s, {memory:.0f} MB")
        times[way] = forward + backward
    assert times["sampling"] < times["torchvision"]
