"""Images of several sizes in one batch, each treated as if it were alone.

An image alone is padded to whole cells of stride 32; in a mixed batch it is padded further, and what the
network computes there (biases, mostly) would leak back over the border. So at inference images of one
padded size run together, and their maps are put into maps of the batch's size.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Size = tuple[int, int]

DIVISOR = 32


def padded(size: Size) -> Size:
    """Height and width in whole cells of stride 32, as an image alone is padded."""
    height, width = size
    return -(-height // DIVISOR) * DIVISOR, -(-width // DIVISOR) * DIVISOR


def is_mixed(sizes: Sequence[Size], shape: Sequence[int]) -> bool:
    """Whether some image of a batch of ``shape`` (H, W) is padded further than it would be alone."""
    return any(padded(size) != tuple(shape) for size in sizes)


def features_by_size(
    network: Callable[[Tensor], list[Tensor]], images: Tensor, sizes: Sequence[Size]
) -> list[Tensor]:
    """Maps of ``images (B, 3, H, W)``, those of each image as if it were alone.

    Beyond an image's own map its last row and column are repeated once, since RoIAlign takes the border's
    value there; further cells are zero.
    """
    if not is_mixed(sizes, images.shape[-2:]):
        return network(images)
    groups: dict[Size, list[int]] = {}
    for member, size in enumerate(sizes):
        groups.setdefault(padded(size), []).append(member)
    outputs: list[Tensor] = []
    for (height, width), members in groups.items():
        maps = network(images[members, :, :height, :width])
        if not outputs:
            outputs = [_empty_map(part, images, stride=2 ** (2 + n)) for n, part in enumerate(maps)]
        for output, part in zip(outputs, maps, strict=True):
            rows, columns = (
                torch.arange(min(side + 1, limit), device=part.device).clamp(max=side - 1)
                for side, limit in zip(part.shape[-2:], output.shape[-2:], strict=True)
            )
            repeated = part[:, :, rows][:, :, :, columns]
            output[members, :, : len(rows), : len(columns)] = repeated
    return outputs


def own_cells(
    sizes: Sequence[Size], shape: Sequence[int], *, stride: int, device: torch.device
) -> Tensor:
    """(B, H, W) bool: cells of a map of ``shape`` (H, W) that each image alone would have."""
    rows = torch.arange(shape[0], device=device)[:, None]
    columns = torch.arange(shape[1], device=device)[None, :]
    return torch.stack(
        [
            (rows < -(-height // stride)) & (columns < -(-width // stride))
            for height, width in map(padded, sizes)
        ]
    )


def _empty_map(part: Tensor, images: Tensor, *, stride: int) -> Tensor:
    height, width = (-(-side // stride) for side in images.shape[-2:])
    return part.new_zeros(len(images), part.shape[1], height, width)
