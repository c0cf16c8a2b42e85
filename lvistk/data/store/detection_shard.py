"""One file of a detection store: where its columns lie, opened and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lvistk.data.store.shard_checks import MEND, Layout, check_content, check_shapes
from lvistk.data.store.shard_format import COLUMNS, FORMAT, OPTIONAL, READABLE
from lvistk.errors import UserError

if TYPE_CHECKING:
    import h5py


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


def open_shard(path: Path, *, check: bool = True) -> tuple[Shard, np.ndarray, str]:
    """A shard, its category ids (C,) and its role.

    With ``check`` the digest and the values are checked, once per process and state of the file.
    Raises ``UserError`` where the file is no shard, is cut, or holds what was not written.
    """
    import h5py  # 0.04 s and a process of its own (uname), and only stores need it

    if not path.is_file():
        raise UserError(f"{path}: no such detection store")
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != FORMAT:
                raise UserError(f"{path}: HDF5, but no detection store of lvistk")
            version = file.attrs.get("version")
            if version not in READABLE:
                raise UserError(
                    f"{path}: detection store of version {version}, this program reads "
                    f"{' and '.join(map(str, READABLE))}; update lvistk, or export the store anew"
                )
            layout = _layout(file, path)
            image_ids = np.asarray(file["images/id"])
            category_ids = np.asarray(file["category_ids"])
            role = str(file.attrs.get("role", ""))
            digest = file.attrs.get("digest")
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError) as error:
        raise UserError(f"{path}: not a whole HDF5 file ({error}); {MEND}") from None
    if digest is None and version != 1:
        raise UserError(f"{path}: has no digest; {MEND}")
    check_shapes(path, layout)
    if check:
        _check_once(path, layout, role=role, digest=None if digest is None else str(digest))
    return Shard(path, layout, image_ids), category_ids, role


_checked: set[tuple[str, int, int, int]] = set()
"""Files whose content this process has checked, as they were then."""


def _check_once(path: Path, layout: Layout, *, role: str, digest: str | None) -> None:
    status = path.stat()
    state = (str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)
    if state not in _checked:
        check_content(path, layout, role=role, digest=digest)
        _checked.add(state)


def _layout(file: "h5py.File", path: Path) -> dict[str, tuple[int, tuple[int, ...], np.dtype]]:
    import h5py

    layout = {}
    for name, kind in {**COLUMNS, **OPTIONAL}.items():
        if name not in file:
            if name in OPTIONAL:
                continue
            raise UserError(f"{path}: detection store without '{name}'")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.dtype(kind):
            raise UserError(f"{path}: '{name}' of a detection store must be {np.dtype(kind)}")
        if not dataset.shape:
            raise UserError(f"{path}: '{name}' of a detection store must be an array")
        offset = dataset.id.get_offset()
        if dataset.size and offset is None:
            raise UserError(f"{path}: '{name}' is chunked or compressed; it must be contiguous")
        layout[name] = (-1 if offset is None else offset, dataset.shape, dataset.dtype)
    return layout
