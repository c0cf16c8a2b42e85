"""Whether the arrays of an index fit each other: types, lengths, and numbers that point into others."""

from collections.abc import Mapping

import numpy as np

ITEMS_OF = {
    "row": "labels",
    "name_start": "names",
    "other_name_start": "other_names",
    "negative_start": "negative",
    "not_exhaustive_start": "not_exhaustive",
    "instance_start": "part_start",
    "part_start": "points",
    "rle_start": "rle",
}
"""Arrays of starts, and the arrays into which they point."""
LENGTH_OF = {
    "image_ids": ("heights", "widths", "image_source", "image_order"),
    "labels": ("annotation_ids", "boxes", "areas"),
    "category_ids": (
        "category_frequency",
        "category_images",
        "category_instances",
        "category_read",
    ),
}
"""Arrays that have as many rows as another."""


def check_bounds(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ``ValueError`` or ``KeyError`` where an array would lead outside another."""
    for name, others in LENGTH_OF.items():
        for other in others:
            _require(len(arrays[other]) == len(arrays[name]), other)
    images, labels = len(arrays["image_ids"]), len(arrays["category_ids"])
    for name in ("row", "name_start", "other_name_start", "negative_start", "not_exhaustive_start"):
        _require(len(arrays[name]) == images + 1, name)
    for name in ("instance_start", "rle_start"):
        _require(len(arrays[name]) == len(arrays["labels"]) + 1, name)
    for name, items in ITEMS_OF.items():
        start, count = arrays[name], len(arrays[items]) - (items == "part_start")
        _require(start.dtype == np.int64 and start[0] == 0 and start[-1] == count, name)
        _require(bool((np.diff(start) >= 0).all()), name)
    for name, limit in (
        ("labels", labels),
        ("negative", labels),
        ("not_exhaustive", labels),
        ("image_order", images),
    ):
        values = arrays[name]
        _require(values.dtype.kind in "iu", name)
        _require(not len(values) or bool(values.min() >= 0 and values.max() < limit), name)
    _require(arrays["boxes"].shape[1:] == (4,) and arrays["points"].shape[1:] == (2,), "boxes")


def _require(fits: bool, name: str) -> None:
    if not fits:
        raise ValueError(f"array {name} does not fit the others")
