"""One scanned record, and blocks of columns made of many."""

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
        ("escaped", np.uint8),
    ]
)
"""What the scanner writes, a record at once: fields as in ``Block``, the box as x, y, width, height."""


def block_of(
    text: np.ndarray,
    records: np.ndarray,
    numbers: np.ndarray,
    dropped: np.ndarray,
    *,
    annotations: bool,
) -> Block:
    """Records (R,) as columns; ``annotations``: with what only annotations have."""
    column = {name: np.ascontiguousarray(records[name]) for name in _DETECTION}
    boxes = np.empty((len(records), 4))
    for k, name in enumerate(("x", "y", "width", "height")):
        boxes[:, k] = records[name]
    return Block(
        has=column["has"],
        image_ids=column["image_id"],
        category_ids=column["category_id"],
        scores=column["score"],
        boxes=boxes,
        mask_kinds=column["mask_kind"],
        mask_starts=column["mask_start"],
        mask_stops=column["mask_stop"],
        mask_heights=column["mask_height"],
        mask_widths=column["mask_width"],
        escaped=column["escaped"],
        mask_areas=NO_AREAS,
        mask_boxes=NO_BOXES,
        text=text,
        numbers=numbers,
        mask_scores=NONE_FLOAT64,
        dropped=dropped,
        ids=np.ascontiguousarray(records["id"]) if annotations else NONE_INT64,
        areas=np.ascontiguousarray(records["area"]) if annotations else NONE_FLOAT64,
        ignored=np.ascontiguousarray(records["ignore"]) if annotations else NONE_UINT8,
    )


_DETECTION = (
    "has",
    "image_id",
    "category_id",
    "score",
    "mask_kind",
    "mask_start",
    "mask_stop",
    "mask_height",
    "mask_width",
    "escaped",
)
