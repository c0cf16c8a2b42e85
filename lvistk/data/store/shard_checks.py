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
    expected |= {f"images/{name}": (images,) for name in ("id", "height", "width", "rotation")}
    expected |= {"images/row": (images + 1,), "rle_offset": (count + 1,)}
    expected |= {"images/name_offset": (images + 1,)}
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
        last = 0
        for values in _chunks(path, offset, shape, dtype):
            computed.data(values)
            if not faults:
                fault = _fault(name, values, last, layout)
                faults += [fault] if fault else []
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


def _fault(name: str, values: np.ndarray, last: int, layout: Layout) -> str | None:
    """What is wrong with some rows of a column; ``last`` is the offset before them."""
    match name:
        case "label":
            count = layout["category_ids"][1][0]
            wrong = (values < 0) | (values >= count)
            return f"a label is {values[wrong][0]} of {count} categories" if wrong.any() else None
        case "score" | "box":
            return None if np.isfinite(values).all() else f"a {name} is not finite"
        case "mask_score":  # NaN: this mask was not scored
            return "a mask_score is infinite" if np.isinf(values).any() else None
        case "images/height" | "images/width" | "mask_area" | "mask_box":
            return f"'{name}' is negative" if (values < 0).any() else None
        case "images/rotation":
            return None if np.isin(values, TURNS).all() else "a rotation is no quarter turn"
        case "images/row" | "rle_offset" | "images/name_offset":
            rising = values[0] >= last and np.all(values[1:] >= values[:-1])
            return None if rising else f"'{name}' goes backwards"
        case "category_ids":
            return None if len(np.unique(values)) == len(values) else "a category id is used twice"
    return None
