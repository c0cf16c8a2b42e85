"""Deformable convolution (Dai et al., ICCV 2017, arXiv 1703.06211; v2: arXiv 1811.11168)."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d


class DeformConv2d(nn.Module):
    """A convolution whose taps move by offsets learned from its own input.

    Made from a rigid convolution, whose ``weight`` and ``bias`` it takes over under their names. The
    offset convolution starts at zero, so that the output starts as the rigid one's. ``v2`` multiplies
    each tap by 2 * sigmoid, which starts at 1 (ours: with sigmoid alone, as published, conversion
    would halve the output; weights from such toolboxes are halved on import).
    """

    def __init__(self, conv: nn.Conv2d, *, version: Literal["v1", "v2"]) -> None:
        super().__init__()
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            raise ValueError("a deformable convolution needs plain zero padding")
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation
        self.groups = conv.groups
        self.taps = conv.kernel_size[0] * conv.kernel_size[1]
        self.modulated = version == "v2"
        self.offset = nn.Conv2d(
            conv.in_channels,
            (3 if self.modulated else 2) * self.taps,
            conv.kernel_size,  # pyright: ignore[reportArgumentType]  # typed as a tuple of any length
            conv.stride,  # pyright: ignore[reportArgumentType]  # as above
            conv.padding,  # pyright: ignore[reportArgumentType]  # as above
            conv.dilation,  # pyright: ignore[reportArgumentType]  # as above
        )
        nn.init.zeros_(self.offset.weight)
        if self.offset.bias is not None:
            nn.init.zeros_(self.offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, weight=self.weight, bias=self.bias)

    def convolve(self, x: Tensor, *, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with other weights than its own, as folding a norm makes them."""
        raw = self.offset(x).to(x.dtype)
        mask = None
        if self.modulated:
            raw, strength = raw[:, : 2 * self.taps], raw[:, 2 * self.taps :]
            mask = 2 * strength.sigmoid()
        if x.device.type != "cpu" or x.dtype in (torch.float32, torch.float64):
            return self._run(x, raw, weight, bias, mask)
        # In half precision positions would be off by parts of a cell.
        result = self._run(
            x.float(),
            raw.float(),
            weight.float(),
            None if bias is None else bias.float(),
            None if mask is None else mask.float(),
        )
        return result.to(x.dtype)

    def _run(
        self, x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        if x.device.type == "cpu":
            read = self._read(x, offset, mask, kernel=weight.shape[2:])
            grouped = weight.reshape(self.groups, -1, weight[0].numel())
            result = grouped @ read.view(len(x), self.groups, grouped.shape[2], -1)
            result = result.view(len(x), len(weight), *offset.shape[2:])
            return result if bias is None else result + bias[:, None, None]
        return deform_conv2d(
            x,
            offset,
            weight,
            bias,
            stride=self.stride,  # pyright: ignore[reportArgumentType]  # typed as a tuple of any length
            padding=self.padding,  # pyright: ignore[reportArgumentType]  # as above
            dilation=self.dilation,  # pyright: ignore[reportArgumentType]  # as above
            mask=mask,
        )

    def _read(
        self, x: Tensor, offset: Tensor, mask: Tensor | None, *, kernel: torch.Size
    ) -> Tensor:
        """(B, C, taps, H' x W'): what each tap of each output cell reads, zero outside ``x``.

        torchvision's kernel for CPUs reads the same; its gradients take five times as long
        (docs/benchmarks.md).
        """
        padding: tuple[int, ...] = tuple(self.padding)  # pyright: ignore[reportAssignmentType]  # never text, see __init__
        taps = [
            torch.arange(count, dtype=x.dtype) * apart - before
            for count, apart, before in zip(kernel, self.dilation, padding, strict=True)
        ]
        cells = [
            torch.arange(count, dtype=x.dtype) * apart
            for count, apart in zip(offset.shape[2:], self.stride, strict=True)
        ]
        moved = offset.unflatten(1, (*kernel, 2))  # (B, taps along y, along x, 2, H', W')
        down = moved[:, :, :, 0] + taps[0][:, None, None, None] + cells[0][:, None]
        right = moved[:, :, :, 1] + taps[1][:, None, None] + cells[1]
        height, width = x.shape[2:]
        grid = torch.stack([(2 * right + 1) / width - 1, (2 * down + 1) / height - 1], dim=-1)
        grid = grid.flatten(3, 4).flatten(1, 2)
        sampled = F.grid_sample(x, grid, align_corners=False)
        return sampled if mask is None else sampled * mask.flatten(2)[:, None]


def convolve(conv: nn.Module, x: Tensor, *, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A rigid or deformable convolution's geometry with other weights than its own."""
    if isinstance(conv, DeformConv2d):
        return conv.convolve(x, weight=weight, bias=bias)
    if isinstance(conv, nn.Conv2d):
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    raise TypeError(f"no convolution: {type(conv).__name__}")


def convert_convolutions(modules: Iterable[nn.Module], *, version: Literal["v1", "v2"]) -> int:
    """Replace every 3x3 ``nn.Conv2d`` inside ``modules`` by a deformable one that equals it.

    Returns how many were replaced.
    """
    replaced = 0
    for module in modules:
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Conv2d and child.kernel_size == (3, 3):
                    setattr(parent, name, DeformConv2d(child, version=version))
                    replaced += 1
    return replaced


def offset_names(net: nn.Module) -> frozenset[str]:
    """Names of the parameters that deformable convolutions have and rigid ones lack."""
    return frozenset(
        f"{name}.offset.{inner}" if name else f"offset.{inner}"
        for name, module in net.named_modules()
        if isinstance(module, DeformConv2d)
        for inner, _ in module.offset.named_parameters()
    )
