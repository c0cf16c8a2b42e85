"""torch's two file formats, read without torch.load: a zip since 1.6, pickles in a row before."""

import sys
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from lvistk.importing.pickle_values import Refused, Storage, StorageKind
from lvistk.importing.restricted_pickle import load_restricted

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first number of a torch file of before 1.6."""
CHUNK = 1 << 24


def read_zip(path: Path) -> Any:
    """The content of a torch file since 1.6: ``data.pkl``, and one member for each storage.

    torch compresses nothing, so members that are compressed, or together larger than the file, are
    refused: they would unpack into more than they are.
    """
    with zipfile.ZipFile(path) as archive:
        _require_plain_members(archive, path)
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Refused(f"a zip with {len(pickles)} data.pkl, not a torch file")
        root = pickles[0].removesuffix("data.pkl")
        _require_own_byte_order(archive, root)
        storages: dict[str, tuple[StorageKind, Storage]] = {}

        def load_storage(pid: Any) -> Storage:
            kind, key, count = _reference(pid)
            if key not in storages:
                storages[key] = (kind, _member(archive, f"{root}data/{key}", kind, count))
            return _same_kind(storages[key], kind, count)

        return load_restricted(archive.read(pickles[0]), load_storage=load_storage)


def read_legacy(file: IO[bytes], *, size: int) -> Any:
    """The content of a torch file of before 1.6, from behind its first number.

    size: bytes of the whole file, more than which its tensors cannot hold.
    """
    load_restricted(file)  # version of the format
    load_restricted(file)  # byte order and sizes of the writing machine
    storages: dict[str, tuple[StorageKind, Storage]] = {}
    left = size

    def load_storage(pid: Any) -> Storage:
        nonlocal left
        kind, key, count = _reference(pid)
        if key not in storages:
            left -= count * kind.dtype.itemsize
            if left < 0:
                raise Refused("tensors that are larger than the file")
            storages[key] = (kind, Storage(torch.empty(count, dtype=kind.dtype)))
        return _same_kind(storages[key], kind, count)

    content = load_restricted(file, load_storage=load_storage)
    keys = load_restricted(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refused("no list of its tensors' data")
    for key in keys:
        if key not in storages:
            raise Refused("data of no tensor")
        flat = storages[key][1].flat
        if int.from_bytes(file.read(8), "little") != len(flat):
            raise Refused("data of another size than its tensor's")
        _fill(flat, file)
    return content


def _reference(pid: Any) -> tuple[StorageKind, str, int]:
    """Type, key and number of elements of a reference to tensor data."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[5:] not in ((), (None,)):
        raise Refused("a reference to data of an unknown form")
    _, kind, key, _, count = pid[:5]
    if not isinstance(kind, StorageKind) or not isinstance(key, str):
        raise Refused("tensor data of an unknown type")
    if type(count) is not int or count < 0:
        raise Refused("tensor data of no size")
    return kind, key, count


def _same_kind(known: tuple[StorageKind, Storage], kind: StorageKind, count: int) -> Storage:
    if known[0] != kind or len(known[1].flat) < count:
        raise Refused("one piece of data with two types or sizes")
    return known[1]


def _member(archive: zipfile.ZipFile, name: str, kind: StorageKind, count: int) -> Storage:
    try:
        size = archive.getinfo(name).file_size
    except KeyError:
        raise Refused(f"no data of a tensor ({name})") from None
    if size < count * kind.dtype.itemsize:
        raise Refused("a tensor's data are cut off")
    flat = torch.empty(count, dtype=kind.dtype)
    with archive.open(name) as member:
        _fill(flat, member)
    return Storage(flat)


def _fill(flat: Tensor, file: IO[bytes]) -> None:
    """Read the bytes of ``flat (n,)``."""
    target = flat.view(torch.uint8).numpy()
    for start in range(0, len(target), CHUNK):
        part = target[start : start + CHUNK]
        raw = file.read(len(part))
        if len(raw) != len(part):
            raise Refused("the file ends within its weights")
        part[:] = np.frombuffer(raw, np.uint8)


def _require_plain_members(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise Refused("a zip with compressed members, which torch never writes")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise Refused("a zip whose members are larger than itself")


def _require_own_byte_order(archive: zipfile.ZipFile, root: str) -> None:
    if f"{root}byteorder" in archive.namelist():
        order = archive.read(f"{root}byteorder").decode("latin1")[:10]
        if order != sys.byteorder:
            raise Refused(f"written on a {order!r}-endian machine")
