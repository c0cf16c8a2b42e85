"""Shards on disk: made in memory, written as bytes, compared, renamed.

HDF5 writes small datasets when the file is closed, and h5py cannot tell of an error then: on a full disk
a file of zeros would look complete. So HDF5 never touches the disk here.
"""

import io
from pathlib import Path

import numpy as np

from lvistk.data.store.shard_format import FORMAT, VERSION, Digest
from lvistk.errors import UserError
from lvistk.whole_file import whole_file

READ_BYTES = 1 << 24


def write_shard_file(path: Path, columns: dict[str, np.ndarray], *, role: str) -> None:
    """Write columns as a shard, whole or not at all; ``UserError`` where the disk is full or fails.

    ``columns`` is empty afterwards: large ones would be in memory beside the file that is made of them.
    """
    content = _shard_file(columns, role=role)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
        if not _holds(temporary, content):
            raise UserError(f"{path}: the disk gives back other bytes than were written to it")


def _holds(path: Path, content: memoryview) -> bool:
    """Whether a file's bytes are ``content``, read a piece at a time."""
    offset = 0
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            if piece != content[offset : offset + len(piece)]:
                return False
            offset += len(piece)
    return offset == len(content)


def _shard_file(columns: dict[str, np.ndarray], *, role: str) -> memoryview:
    """The bytes of a shard with its digest, in memory once; ``columns`` is emptied meanwhile."""
    import h5py  # 0.04 s, and only stores need it

    digest = Digest(role)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, "role": role})
        for name in sorted(columns):
            digest.column(name, columns[name].dtype, columns[name].shape)
            digest.data(columns[name])
        for name in list(columns):
            file.create_dataset(name, data=columns.pop(name))
        file.attrs["digest"] = digest.text()
    return buffer.getbuffer()
