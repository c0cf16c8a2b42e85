"""Averages of bilinear samples from a feature pyramid, without ever holding the samples.

A bin of an RoI averages S samples, each a mix of four cells: a weighted sum of 4 S rows of a table
whose rows are cells. That is an embedding bag: one call for all images and levels, no list of RoIs
per level to wait for, no (R, C, bins, S) tensor, and gradients for the cells as well as for the
weights, hence for the sampling points.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision


def per_level(levels: Tensor, values: Sequence[float], *, dtype: torch.dtype) -> Tensor:
    """(R,): the value of each RoI's level, by fills: a copy from the host would wait for the device."""
    result = torch.full_like(levels, values[0], dtype=dtype)
    for level, value in enumerate(values[1:], start=1):
        result.masked_fill_(levels == level, value)
    return result


class CellTable(NamedTuple):
    """The cells of L maps as rows of one table, made once for all that is sampled from them.

    rows: (B * cells, C), image by image, level by level, in full precision.
    shapes: (height, width) of each level's map.
    """

    rows: Tensor
    shapes: list[tuple[int, int]]


def cell_table(features: Sequence[Tensor]) -> CellTable:
    """The table of L maps (B, C, H_l, W_l) of the same B and C; channels-last ones need no transposing."""
    rows = torch.cat(
        [full_precision(feature).flatten(2).transpose(1, 2) for feature in features], dim=1
    )  # (B, cells, C), one copy
    return CellTable(rows.flatten(0, 1), [(f.shape[-2], f.shape[-1]) for f in features])


def average_samples(
    table: CellTable, *, images: Tensor, levels: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """Mean over S bilinear samples for each of Q bins of R RoIs.

    images, levels: (R,) int64, the map of each RoI.
    x, y: (R, Q, S) positions in cells of that map, 0 is the centre of the first cell. As in
        RoIAlign, a sample more than one cell outside is 0, and one outside by less takes the
        border's value.

    Returns (R, Q, C) in float32 (float64 for float64 maps). Differentiable in the table, x and y;
        R = 0 keeps the graph. Not-a-number positions give not-a-number.
    """
    shapes = table.shapes
    cells = [h * w for h, w in shapes]
    first_cells = [sum(cells[:level]) for level in range(len(cells))]
    height, width, first_cell = (
        per_level(levels, values, dtype=torch.int64)[:, None, None]
        for values in ([h for h, _ in shapes], [w for _, w in shapes], first_cells)
    )  # (R, 1, 1) each

    inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)  # (R, Q, S)
    left, right, right_share = _neighbours(x, width)
    top, bottom, bottom_share = _neighbours(y, height)
    first_row = images[:, None, None] * sum(cells) + first_cell
    rows = torch.stack(
        [first_row + row * width + column for row in (top, bottom) for column in (left, right)],
        dim=-1,
    )  # (R, Q, S, 4)
    weights = torch.stack(
        [
            row_share * column_share
            for row_share in (1 - bottom_share, bottom_share)
            for column_share in (1 - right_share, right_share)
        ],
        dim=-1,
    )  # (R, Q, S, 4)
    weights = weights * (inside / x.shape[2])[..., None]
    bags = F.embedding_bag(
        rows.flatten(0, 1).flatten(1),
        table.rows,
        per_sample_weights=weights.flatten(0, 1).flatten(1).to(table.rows.dtype),
        mode="sum",
    )  # (R * Q, C)
    return bags.view(*x.shape[:2], table.rows.shape[1])


def _neighbours(position: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cells on both sides of each position along one axis, and the share of the second."""
    clamped = torch.minimum(position.clamp(min=0), size - 1)
    low = clamped.detach().nan_to_num().floor().long()  # an index must be one, whatever the offsets
    return low, torch.minimum(low + 1, size - 1), clamped - low
