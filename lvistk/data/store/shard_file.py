"""Shards on disk: made in memory, written as bytes, compared, renamed.

HDF5 writes small datasets when the file is closed, and h5py cannot tell of an error then: on a full disk
a file of zeros would look complete. So HDF5 never touches the disk here.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lvistk.data.store.shard_format import FORMAT, VERSION, Digest
from lvistk.errors import UserError
from lvistk.whole_file import whole_file


def write_shard_file(path: Path, columns: Mapping[str, np.ndarray], *, role: str) -> None:
    """Write columns as a shard, whole or not at all; ``UserError`` where the disk is full or fails."""
    content = shard_bytes(columns, role=role)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
        written = temporary.read_bytes()
        if len(written) != len(content) or zlib.crc32(written) != zlib.crc32(content):
            raise UserError(f"{path}: the disk gives back other bytes than were written to it")


def shard_bytes(columns: Mapping[str, np.ndarray], *, role: str) -> bytes:
    """The bytes of a shard with its digest."""
    import h5py  # 0.04 s, and only stores need it

    digest = Digest(role)
    with h5py.File("shard", "w", driver="core", backing_store=False) as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, "role": role})
        for name in sorted(columns):
            digest.column(name, columns[name].dtype, columns[name].shape)
            digest.data(columns[name])
        for name, values in columns.items():
            file.create_dataset(name, data=values)
        file.attrs["digest"] = digest.text()
        file.flush()
        return bytes(file.id.get_file_image())
