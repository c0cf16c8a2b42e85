"""Is a shard what was written? Its digest, and values that no reader has to doubt, in one pass."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from lvistk.data.store.shard_format import Digest
from lvistk.errors import UserError

CHUNK_BYTES = 4 << 20
"""Read at once: plain reads, because mapped pages would count as memory of the process."""
TURNS = (0, 90, 180, 270)
MEND = "delete it and run its stage again"
Layout = Mapping[str, tuple[int, tuple[int, ...], np.dtype]]


def check_shapes(path: Path, layout: Layout) -> None:
    """Lengths of columns that agree; ``UserError`` names the first that does not."""
    count, images = layout["score"][1][0], layout["images/id"][1][0]
    expected: dict[str, tuple[int, ...]] = {"label": (count,), "score": (count,), "box": (count, 4)}
    expected |= {"mask_score": (count,), "mask_area": (count,), "mask_box": (count, 4)}
    expected |= {"annotation_id": (count,)}
    expected |= {f"images/{name}": (images,) for name in ("id", "height", "width", "rotation")}
    expected |= {"images/row": (images + 1,), "rle_offset": (count + 1,)}
    expected |= {"images/name_offset": (images + 1,), "level_moves": (2,)}
    for name, shape in expected.items():
        if name in layout and layout[name][1] != shape:
            raise UserError(f"{path}: '{name}' has shape {layout[name][1]}, not {shape}; {MEND}")
    for offsets, values in (("rle_offset", "rle"), ("images/name_offset", "images/name")):
        if (offsets in layout) != (values in layout):
            raise UserError(f"{path}: has one of '{offsets}' and '{values}', not both; {MEND}")


def check_content(path: Path, layout: Layout, *, role: str, digest: str | None) -> None:
    """Digest (None in a store of version 1, which has none) and values of every column.

    Raises ``UserError`` where the digest is another, a label has no category, a score or box is not finite,
    or offsets go backwards or do not end at their values' end.
    """
    computed = Digest(role)
    faults: list[str] = []
    for name in sorted(layout):
        offset, shape, dtype = layout[name]
        computed.column(name, dtype, shape)
        first = last = 0
        for values in _chunks(path, offset, shape, dtype):
            computed.data(values)
            fault = None if faults else _fault(name, values, last, layout)
            if fault is not None:
                faults.append(_told(name, first + fault[0], fault[1]))
            first += len(values)
            last = int(values[-1]) if name in _ends(layout) and len(values) else 0
        if not faults and name in _ends(layout) and last != _ends(layout)[name]:
            faults.append(f"'{name}' ends at {last}, its values at {_ends(layout)[name]}")
    if digest is not None and computed.text() != digest:
        raise UserError(f"{path}: its content is not what was written (digest); {MEND}")
    if faults:
        raise UserError(f"{path}: {faults[0]}; {MEND}")


def _ends(layout: Layout) -> dict[str, int]:
    """Last value that each column of offsets must have."""
    lengths = {name: entry[1][0] for name, entry in layout.items()}
    return {
        "images/row": lengths["score"],
        "rle_offset": lengths.get("rle", 0),
        "images/name_offset": lengths.get("images/name", 0),
    }


def _chunks(
    path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype
) -> Iterator[np.ndarray]:
    """A column's rows, some megabytes at a time; zeros where the file holds none."""
    width = int(np.prod(shape[1:], dtype=np.int64))
    step = max(CHUNK_BYTES // (dtype.itemsize * max(width, 1)), 1)
    for first in range(0, shape[0], step):
        rows = min(step, shape[0] - first)
        if offset < 0:
            yield np.zeros((rows, *shape[1:]), dtype)
            continue
        start = offset + first * width * dtype.itemsize
        values = np.fromfile(path, dtype, rows * width, offset=start)
        if len(values) != rows * width:
            raise UserError(f"{path}: ends in the middle of a column; {MEND}")
        yield values.reshape(rows, *shape[1:])


def _fault(name: str, values: np.ndarray, last: int, layout: Layout) -> tuple[int, str] | None:
    """The first wrong row of a part of a column, and what is wrong; ``last`` is the offset before it."""
    count = layout["category_ids"][1][0]
    match name:
        case "label":
            wrong, text = (values < 0) | (values >= count), f"label {{}} is not in 0..{count - 1}"
        case "score":
            wrong, text = ~np.isfinite(values), "its score {} is not finite"
        case "box":
            wrong, text = ~np.isfinite(values).all(axis=1), "its box {} is not finite"
        case "mask_score":  # NaN: this mask was not scored
            wrong, text = np.isinf(values), "its mask score {} is not finite"
        case "images/height" | "images/width" | "mask_area":
            wrong, text = values < 0, f"'{name}' is {{}}"
        case "images/rotation":
            wrong, text = ~np.isin(values, TURNS), "its rotation {} is none of 0, 90, 180, 270"
        case "images/row" | "rle_offset" | "images/name_offset":
            wrong, text = np.diff(values, prepend=last) < 0, f"'{name}' goes backwards"
        case "category_ids":
            wrong = np.zeros(count, bool)
            wrong[np.setdiff1d(np.arange(count), np.unique(values, return_index=True)[1])] = True
            text = "duplicate category id {}"
        case _:
            return None
    rows = np.flatnonzero(wrong)
    return (int(rows[0]), text.format(values[rows[0]])) if len(rows) else None


def _told(name: str, row: int, text: str) -> str:
    if name in ("category_ids", "images/row", "rle_offset", "images/name_offset"):
        return text
    what = "image" if name.startswith("images/") else "detection"
    return f"{what} {row} of this file: {text}"
