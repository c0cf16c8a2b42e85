"""Columns of several sets of images as those of one shard."""

from collections.abc import Sequence

import numpy as np

OFFSETS = ("images/row", "rle_offset")


def join_columns(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The columns of all images of ``parts``, of which there is at least one, in order.

    Parts lose each column that is joined, so that one column at a time is in memory twice.

    Columns that a part with detections lacks, such as masks, are left out; ``ValueError`` where some
    parts have masks and others have none.
    """
    filled = [part for part in parts if len(part["score"])] or parts[:1]
    names = set.intersection(*(set(part) for part in filled))
    if any("rle" in part for part in filled) and "rle" not in names:
        raise ValueError("some images of a shard have masks and others have none")
    joined = {}
    for name in sorted(names):
        chosen = parts if name.startswith("images/") else filled
        values = [part.pop(name) for part in chosen]
        joined[name] = _offsets(values) if name in OFFSETS else np.concatenate(values)
    return joined


def _offsets(several: Sequence[np.ndarray]) -> np.ndarray:
    """Offsets (N + 1,) int64 of lists that follow each other."""
    lengths = np.concatenate([np.diff(one) for one in several])
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
