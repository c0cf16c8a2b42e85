from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.models.backbone import build_backbone
from lvistk.models.deform_conv import DeformConv2d


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", ["resnet50", "resnest14d"])
def test_a_converted_backbone_starts_as_the_rigid_one(name: str, version: str) -> None:
    library = "torchvision" if name == "resnet50" else "timm"
    outputs = []
    for deform in ("none", version):
        torch.manual_seed(0)
        body = build_backbone(BackboneSettings(library=library, name=name, deform=deform))
        outputs.append([f / f.abs().amax() for f in body.eval()(torch.ones(1, 3, 64, 64) / 3)])
    count = sum(isinstance(module, DeformConv2d) for module in body.modules())
    assert count == (13 if name == "resnet50" else 3)  # one a block of c3 to c5
    for rigid, deformable in zip(*outputs, strict=True):
        torch.testing.assert_close(deformable, rigid, rtol=0, atol=1e-5)


def test_no_convolution_to_convert() -> None:
    with pytest.raises(UserError, match="no 3x3 convolution"):
        build_backbone(BackboneSettings(library="timm", name="convnext_atto", deform="v1"))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_it_learns_a_shift_that_a_rigid_convolution_cannot(version: str) -> None:
    """Target: the input shifted by four cells, beyond a 3x3 convolution's reach."""
    losses = {}
    for kind in ("rigid", version):
        torch.manual_seed(0)
        conv: nn.Module = nn.Conv2d(2, 2, 3, padding=1)
        if kind != "rigid":
            conv = DeformConv2d(conv, version=kind)
        optimizer = torch.optim.Adam(conv.parameters(), lr=0.05)
        for step in range(150):
            x = smooth_noise(step)
            loss = F.mse_loss(conv(x)[..., 4:-4], x.roll(4, dims=3)[..., 4:-4])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[kind] = loss.item()
    assert losses[version] <= 0.5 * losses["rigid"]


def smooth_noise(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(4, 2, 5, 5, generator=generator)
    return F.interpolate(coarse, size=(16, 24), mode="bicubic")


def test_taps_move_by_their_offsets() -> None:
    """All offsets (1, 2): the convolution of the input shifted up by one and left by two."""
    conv = nn.Conv2d(1, 1, 3, padding=1)
    deformable = DeformConv2d(conv, version="v1")
    bias = deformable.offset.bias
    assert bias is not None
    with torch.no_grad():
        bias.view(9, 2)[:, 0] = 1
        bias.view(9, 2)[:, 1] = 2
    x = torch.zeros(1, 1, 12, 12)
    x[..., 4:8, 4:8] = torch.randn(4, 4)
    torch.testing.assert_close(deformable(x), conv(x.roll((-1, -2), dims=(2, 3))))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_half_precision_on_a_cpu(version: Literal["v1", "v2"]) -> None:
    torch.manual_seed(0)
    conv = DeformConv2d(nn.Conv2d(4, 6, 3, padding=1), version=version)
    images = torch.randn(2, 4, 9, 9)
    expected = conv(images)
    with torch.autocast("cpu", torch.bfloat16):
        result = conv(images.bfloat16())
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected, rtol=0.05, atol=0.05)
    result.sum().backward()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 2), (1, 2, 1)])
def test_sampling_on_a_cpu_equals_torchvisions_kernel(
    version: Literal["v1", "v2"], stride: int, dilation: int, groups: int
) -> None:
    """Values and gradients, with taps that leave the map on all sides."""
    torch.manual_seed(0)
    rigid = nn.Conv2d(4, 6, 3, stride, padding=dilation, dilation=dilation, groups=groups)
    module = DeformConv2d(rigid, version=version).double()
    nn.init.normal_(module.offset.weight, std=2.0)
    x = torch.randn(2, 4, 11, 8, dtype=torch.float64, requires_grad=True)
    raw = module.offset(x)
    kernel = deform_conv2d(
        x,
        raw[:, :18],
        module.weight,
        module.bias,
        stride=(stride, stride),
        padding=(dilation, dilation),
        dilation=(dilation, dilation),
        mask=2 * raw[:, 18:].sigmoid() if version == "v2" else None,
    )
    result = module(x)
    torch.testing.assert_close(result, kernel)
    inputs = (x, *module.parameters())
    expected = torch.autograd.grad(kernel.square().sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad(result.square().sum(), inputs), expected)
