"""The columns that scanned records are written into, and the blocks made of them."""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.blocks import (
    NO_AREAS,
    NO_BOXES,
    NONE_FLOAT64,
    NONE_INT64,
    NONE_UINT8,
    Block,
)

RECORD = np.dtype(
    [
        ("image_id", np.int64),
        ("category_id", np.int64),
        ("id", np.int64),
        ("score", np.float64),
        ("area", np.float64),
        ("x", np.float64),
        ("y", np.float64),
        ("width", np.float64),
        ("height", np.float64),
        ("mask_start", np.int64),
        ("mask_stop", np.int64),
        ("mask_height", np.int64),
        ("mask_width", np.int64),
        ("has", np.uint8),
        ("mask_kind", np.uint8),
        ("ignore", np.uint8),
    ]
)
"""The record that is being scanned. Compiled functions pass it on as one pointer; a tuple of fourteen arrays
costs them more than the scan."""


class Records(NamedTuple):
    """Columns of R records, with the fields of ``Block`` of the same names; all have R rows."""

    has: np.ndarray
    image_ids: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    mask_kinds: np.ndarray
    mask_starts: np.ndarray
    mask_stops: np.ndarray
    mask_heights: np.ndarray
    mask_widths: np.ndarray
    escaped: np.ndarray
    ids: np.ndarray
    areas: np.ndarray
    ignored: np.ndarray


def empty_records(count: int) -> Records:
    """Room for ``count`` records; what is never written takes no memory."""
    return Records(
        has=np.empty(count, np.uint8),
        image_ids=np.empty(count, np.int64),
        category_ids=np.empty(count, np.int64),
        scores=np.empty(count, np.float64),
        boxes=np.empty((count, 4), np.float64),
        mask_kinds=np.empty(count, np.uint8),
        mask_starts=np.empty(count, np.int64),
        mask_stops=np.empty(count, np.int64),
        mask_heights=np.empty(count, np.int64),
        mask_widths=np.empty(count, np.int64),
        escaped=np.empty(count, np.uint8),
        ids=np.empty(count, np.int64),
        areas=np.empty(count, np.float64),
        ignored=np.empty(count, np.uint8),
    )


def block_of(
    text: np.ndarray,
    records: Records,
    numbers: np.ndarray,
    dropped: np.ndarray,
    *,
    count: int,
    annotations: bool,
) -> Block:
    """The first ``count`` records as a block, without a copy.

    annotations: whether the block has what only annotations have
    """
    rows = Records(*(column[:count] for column in records))
    return Block(
        has=rows.has,
        image_ids=rows.image_ids,
        category_ids=rows.category_ids,
        scores=rows.scores,
        boxes=rows.boxes,
        mask_kinds=rows.mask_kinds,
        mask_starts=rows.mask_starts,
        mask_stops=rows.mask_stops,
        mask_heights=rows.mask_heights,
        mask_widths=rows.mask_widths,
        escaped=rows.escaped,
        mask_areas=NO_AREAS,
        mask_boxes=NO_BOXES,
        text=text,
        numbers=numbers,
        mask_scores=NONE_FLOAT64,
        dropped=dropped,
        ids=rows.ids if annotations else NONE_INT64,
        areas=rows.areas if annotations else NONE_FLOAT64,
        ignored=rows.ignored if annotations else NONE_UINT8,
    )
