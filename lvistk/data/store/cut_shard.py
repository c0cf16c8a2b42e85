"""A shard with fewer detections."""

from collections.abc import Mapping

import numpy as np

from lvistk.data.store.detection_shard import Shard
from lvistk.data.store.shard_file import write_shard_file
from lvistk.masks.polygons import starts

OF_DETECTIONS = ("label", "score", "box", "mask_score", "mask_area", "mask_box")


def cut_shard(shard: Shard, keep: np.ndarray, *, role: str) -> None:
    """Write a shard again with those of its N detections that ``keep`` (N,) names; its images all stay.

    What the shard tells of the masks pooled for it (``level_moves``) goes: it counts detections that went.
    """
    write_shard_file(shard.path, cut_columns(shard.columns(), keep), role=role)


def cut_columns(old: Mapping[str, np.ndarray], keep: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of a shard with those of its N detections that ``keep`` (N,) bool names."""
    new = {name: np.array(values) for name, values in old.items() if name != "level_moves"}
    for name in OF_DETECTIONS:
        if name in old:
            new[name] = old[name][keep]
    rows = old["images/row"]
    new["images/row"] = np.concatenate([[0], np.cumsum(keep)])[rows].astype(rows.dtype)
    if "rle" in old:
        lengths = np.diff(old["rle_offset"])
        new["rle"] = old["rle"][np.repeat(keep, lengths)]
        new["rle_offset"] = starts(lengths[keep].tolist())
    return new
