"""Operations in the form that a traced graph keeps right for other sizes and numbers than the example's.

A trace records what ran: a loop over chunks, or a Python minimum, would be that of the example for ever.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms

DIVISOR = 32


def top_rows(values: Tensor, limit: int) -> Tensor:
    """Indices (K,) of the ``limit`` largest of values (N,), or of all, largest first."""
    number = torch._shape_as_tensor(values)  # pyright: ignore[reportPrivateImportUsage]  # traced, unlike .shape
    k = torch.minimum(number, torch.tensor([limit]))
    return values.topk(k)[1]  # pyright: ignore[reportArgumentType]  # a traced number


def merged_rows(parts: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
    """(N, ...) of parts whose rows have the indices ``rows`` in the result, each once."""
    return torch.cat(list(parts))[torch.cat(list(rows)).argsort()]


def rows_where(chosen: Tensor) -> Tensor:
    """Indices (K,) where ``chosen`` (N,) is true."""
    return chosen.nonzero().squeeze(1)


def padded_to_cells(image: Tensor) -> Tensor:
    """The image (3, H, W) with zeros below and to the right, so that 32 divides its sides."""
    height, width = image.shape[1], image.shape[2]
    below, right = (-height) % DIVISOR, (-width) % DIVISOR
    return torch.nn.functional.pad(image, (0, right, 0, below))


def clipped(boxes: Tensor, size: Tensor) -> Tensor:
    """Boxes (..., 4) cut to an image of ``size`` (2,), height and width."""
    limit = size.flip(0).repeat(2).to(boxes.dtype)  # width, height, width, height
    return torch.minimum(boxes.clamp(min=0), limit)


def nms_by_group(
    boxes: Tensor, scores: Tensor, groups: Tensor, *, number: int, iou: float, size: Tensor
) -> Tensor:
    """Indices of what NMS keeps within each group, best first.

    boxes: (N, 4) inside an image of ``size`` (2,). groups: (N,) int64 in 0..number-1.

    Each group has a cell of its own on a square board of images, so that boxes of different groups do not
    overlap. In a row, as is usual, the last of 1203 cells would lie at 1.6 million pixels, where float32 has
    steps of an eighth of a pixel.
    """
    columns = max(1, math.isqrt(max(number - 1, 0)) + 1)
    step = size.to(boxes.dtype) + 1  # (2,)
    row = torch.div(groups, columns, rounding_mode="floor")
    offset = torch.stack([(groups - row * columns) * step[1], row * step[0]], dim=1)  # (N, 2)
    return nms(boxes + offset.repeat(1, 2), scores, iou)
