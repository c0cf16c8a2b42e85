"""3x3 convolutions with fewer multiplications, for inference on a CPU of few cores.

Winograd's minimal filtering (Lavin and Gray, CVPR 2016, arXiv 1509.09308): tiles of 2 x 2 or 4 x 4 outputs
come from products of transformed inputs and transformed weights, 16 or 36 of them where the plain way has 36
or 144. The products are matrix multiplications, one for each place of a tile. Mask heads and pyramids, most
of a detector's work on a CPU, take about half the time (docs/benchmarks.md).
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST_THREADS = 2
"""With more, nobody has measured whether the plain convolution is slower."""
LEAST_CHANNELS, LEAST_CELLS = 256, 512
"""With fewer channels or fewer outputs the transforms take what the products save."""
LARGE_MAP = 24
"""Shorter side of maps, in cells, from which on tiles of 4 x 4 are better than those of 2 x 2."""
TILES_AT_ONCE = 512
"""Whose transformed inputs stay in a processor's cache."""


class Form(NamedTuple):
    """How tiles of ``side`` x ``side`` outputs are computed, by what is done along one axis.

    inputs: writes factors of the ``side + 2`` cells that a tile sees into as many tensors. outputs: the
    ``side`` outputs of as many products. weights: (side + 2, 3), the factors of the three taps.
    """

    side: int
    inputs: Callable[[Sequence[Tensor], Tensor], None]
    outputs: Callable[[Tensor], list[Tensor]]
    weights: Sequence[Sequence[float]]


def _inputs_2(d: Sequence[Tensor], out: Tensor) -> None:
    torch.sub(d[0], d[2], out=out[0])
    torch.add(d[1], d[2], out=out[1])
    torch.sub(d[2], d[1], out=out[2])
    torch.sub(d[1], d[3], out=out[3])


def _outputs_2(m: Tensor) -> list[Tensor]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _inputs_4(d: Sequence[Tensor], out: Tensor) -> None:
    even, odd = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
    near, far = d[3] - d[1], d[4] - d[2]
    torch.add(far, d[0] - d[2], alpha=4, out=out[0])
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.add(far, near, alpha=2, out=out[3])
    torch.sub(far, near, alpha=2, out=out[4])
    torch.sub(d[5] - d[3], near, alpha=4, out=out[5])


def _outputs_4(m: Tensor) -> list[Tensor]:
    sum_1, sum_2, difference_1, difference_2 = m[1] + m[2], m[3] + m[4], m[1] - m[2], m[3] - m[4]
    return [
        m[0] + sum_1 + sum_2,
        torch.add(difference_1, difference_2, alpha=2),
        torch.add(sum_1, sum_2, alpha=4),
        torch.add(difference_1, difference_2, alpha=8) + m[5],
    ]


SMALL = Form(2, _inputs_2, _outputs_2, ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)))
LARGE = Form(
    4,
    _inputs_4,
    _outputs_4,
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
)


@contextlib.contextmanager
def fewer_multiplications(model: nn.Module) -> Iterator[None]:
    """Within, the 3x3 convolutions of ``model`` that gain by it take this way, without gradients.

    Its weights must stay as they are meanwhile. Results differ by rounding, about as one library's do
    from another's.
    """
    fitting = [conv for conv in model.modules() if type(conv) is nn.Conv2d and _fits(conv)]
    for conv in fitting:
        conv.forward = WinogradConvolution(conv)
    try:
        yield
    finally:
        for conv in fitting:
            vars(conv).pop("forward", None)  # gone where another run of the same model ended before


def _fits(conv: nn.Conv2d) -> bool:
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    padded = conv.padding == (1, 1) and conv.padding_mode == "zeros"
    wide = min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS
    return plain and padded and wide and conv.kernel_size == (3, 3)


class WinogradConvolution:
    """What ``conv`` computes; weights are transformed when they are needed first."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv
        self.transformed: dict[int, Tensor] = {}

    def __call__(self, input: Tensor) -> Tensor:
        """input: (N, C, H, W). Returns (N, O, H, W), channels-last where it takes this way."""
        x = input  # torch's name
        if not self._gains(x):
            return F.conv2d(x, self.conv.weight, self.conv.bias, padding=1)
        form = LARGE if min(x.shape[-2:]) >= LARGE_MAP else SMALL
        if form.side not in self.transformed:
            self.transformed[form.side] = transformed_weights(self.conv.weight, form)
        return convolved(x, self.transformed[form.side], self.conv.bias, form)

    def _gains(self, x: Tensor) -> bool:
        few = torch.get_num_threads() <= MOST_THREADS
        plain = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        large = len(x) * x.shape[-2] * x.shape[-1] >= LEAST_CELLS
        return few and large and plain and x.device.type == "cpu" and not torch.is_grad_enabled()


def transformed_weights(weight: Tensor, form: Form) -> Tensor:
    """weight: (O, C, 3, 3). Returns a (C, O) matrix for each place of a tile, as (T, C, O)."""
    factors = torch.tensor(form.weights, dtype=torch.float64)
    places = torch.einsum("ia,jb,ocab->ijco", factors, factors, weight.double())
    return places.flatten(0, 1).to(weight.dtype).contiguous()


def convolved(x: Tensor, weights: Tensor, bias: Tensor | None, form: Form) -> Tensor:
    """The convolution of x (N, C, H, W), padded by one; weights (T, C, O) are transformed ones."""
    number, channels, height, width = x.shape
    side = form.side
    rows, columns = -(-height // side), -(-width // side)
    padded = x.new_empty(number, rows * side + 2, columns * side + 2, channels)
    padded[:, 0] = padded[:, height + 1 :] = padded[:, :, 0] = padded[:, :, width + 1 :] = 0
    padded[:, 1 : height + 1, 1 : width + 1] = x.permute(0, 2, 3, 1)
    result = x.new_empty(number, rows * side, columns * side, weights.shape[2])
    images = max(TILES_AT_ONCE // (rows * columns), 1)
    some = rows if images > 1 else max(TILES_AT_ONCE // columns, 1)
    for first in range(0, number, images):
        for row in range(0, rows, some):
            part = padded[first : first + images, row * side : (row + some) * side + 2]
            out = result[first : first + images, row * side : (row + some) * side]
            _convolve_part(part, weights, bias, form, out=out)
    return result[:, :height, :width].permute(0, 3, 1, 2)


def _convolve_part(
    part: Tensor, weights: Tensor, bias: Tensor | None, form: Form, *, out: Tensor
) -> None:
    """part: (n, h + 2, w + 2, C), channels last as everything here. out: (n, h, w, O) that is written."""
    side = form.side
    number, height, width, wide = out.shape
    tiles = number, height // side, width // side
    seen = range(side + 2)
    by_row = part.new_empty(len(seen), number, tiles[1], *part.shape[2:])
    form.inputs([part[:, i : i + height : side][:, : tiles[1]] for i in seen], by_row)
    factors = part.new_empty(len(seen), len(seen), *tiles, part.shape[-1])
    for rows, places in zip(by_row, factors, strict=True):
        form.inputs([rows[:, :, j : j + width : side][:, :, : tiles[2]] for j in seen], places)
    products = torch.bmm(factors.view(len(weights), -1, part.shape[-1]), weights)
    products = products.view(len(seen), len(seen), *tiles, wide)
    for i, rows in enumerate(form.outputs(products)):
        for j, cell in enumerate(form.outputs(rows)):
            place = out[:, i::side, j::side]
            place.copy_(cell) if bias is None else torch.add(cell, bias, out=place)
