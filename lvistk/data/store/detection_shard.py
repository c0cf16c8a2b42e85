"""One file of a detection store: where its columns lie, and that they fit each other."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from lvistk.errors import UserError

FORMAT = "lvistk.detections"
VERSION = 1
COLUMNS = {
    "label": np.int32,
    "score": np.float32,
    "box": np.float32,
    "images/id": np.int64,
    "images/height": np.int32,
    "images/width": np.int32,
    "images/row": np.int64,
    "category_ids": np.int64,
}
OPTIONAL = {
    "mask_score": np.float32,
    "rle": np.uint8,
    "rle_offset": np.int64,
    "mask_area": np.int32,
    "mask_box": np.int32,
    "images/name": np.uint8,
    "images/name_offset": np.int64,
    "images/rotation": np.int32,
}


@dataclass(frozen=True, eq=False)
class Shard:
    """One file of a store: where its columns lie in it, and which images it holds."""

    path: Path
    layout: dict[str, tuple[int, tuple[int, ...], np.dtype]]
    image_ids: np.ndarray

    @property
    def extents_known(self) -> bool:
        """Whether areas and tight boxes of the masks are there, so that all masks are whole."""
        return {"rle", "rle_offset", "mask_area", "mask_box"} <= set(self.layout)

    def columns(self) -> dict[str, np.ndarray]:
        """All columns, as read-only views of one mapping of the file."""
        data = np.memmap(self.path, np.uint8, mode="r")
        return {
            name: data[offset : offset + dtype.itemsize * int(np.prod(shape))]
            .view(dtype)
            .reshape(shape)
            .view(np.ndarray)
            if offset >= 0
            else np.zeros(shape, dtype)
            for name, (offset, shape, dtype) in self.layout.items()
        }


def open_shard(path: Path) -> tuple[Shard, np.ndarray, str]:
    """A shard, its category ids (C,) and its role; ``UserError`` where the file is none or is cut."""
    if not path.is_file():
        raise UserError(f"{path}: no such detection store")
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != FORMAT:
                raise UserError(f"{path}: HDF5, but no detection store of lvistk")
            if file.attrs.get("version") != VERSION:
                raise UserError(
                    f"{path}: detection store of version {file.attrs.get('version')}, "
                    f"this program reads {VERSION}"
                )
            layout = _layout(file, path)
            image_ids = np.asarray(file["images/id"])
            category_ids = np.asarray(file["category_ids"])
            role = str(file.attrs.get("role", ""))
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError(
            f"{path}: not a whole HDF5 file ({error}); delete it and run its stage again"
        ) from None
    shard = Shard(path, layout, image_ids)
    _check_offsets(shard)
    return shard, category_ids, role


def _layout(file: h5py.File, path: Path) -> dict[str, tuple[int, tuple[int, ...], np.dtype]]:
    layout = {}
    for name, kind in {**COLUMNS, **OPTIONAL}.items():
        if name not in file:
            if name in OPTIONAL:
                continue
            raise UserError(f"{path}: detection store without '{name}'")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.dtype(kind):
            raise UserError(f"{path}: '{name}' of a detection store must be {np.dtype(kind)}")
        offset = dataset.id.get_offset()
        if dataset.size and offset is None:
            raise UserError(f"{path}: '{name}' is chunked or compressed; it must be contiguous")
        layout[name] = (-1 if offset is None else offset, dataset.shape, dataset.dtype)
    return layout


def _check_offsets(shard: Shard) -> None:
    """Lengths and offsets that agree, so that no reader leaves its array."""
    columns = shard.columns()
    count, images = len(columns["score"]), len(columns["images/id"])
    expected = {"label": (count,), "box": (count, 4), "mask_score": (count,)}
    expected |= {"mask_area": (count,), "mask_box": (count, 4)}
    expected |= {f"images/{name}": (images,) for name in ("height", "width", "rotation")}
    for name, shape in expected.items():
        if name in columns and columns[name].shape != shape:
            raise UserError(f"{shard.path}: '{name}' has shape {columns[name].shape}, not {shape}")
    for offsets, length, total in (
        ("images/row", images, count),
        ("rle_offset", count, len(columns.get("rle", ()))),
        ("images/name_offset", images, len(columns.get("images/name", ()))),
    ):
        edges = columns.get(offsets)
        if edges is None:
            continue
        if edges.shape != (length + 1,) or edges[0] != 0 or edges[-1] != total:
            raise UserError(f"{shard.path}: '{offsets}' does not fit its values")
        if np.any(edges[1:] < edges[:-1]):
            raise UserError(f"{shard.path}: '{offsets}' goes backwards")
