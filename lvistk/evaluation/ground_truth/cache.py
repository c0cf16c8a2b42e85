"""The parsed ground truth, kept between runs: beside the annotation file, or in the user's cache folder.

A cache is believed only where this user wrote it and nobody else may write it, where its checksum is right,
and where its arrays fit each other: compiled code reads them without checks. Else the annotation file is
read again and the cache is written anew.
"""

import contextlib
import itertools
import json
import math
import mmap
import os
import stat
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lvistk.artifacts import fingerprint
from lvistk.errors import UserError
from lvistk.evaluation.ground_truth.annotations import read_gt_json
from lvistk.evaluation.ground_truth.arrays import GroundTruth, GroundTruthArrays
from lvistk.evaluation.ground_truth.soundness import DTYPES, are_sound
from lvistk.whole_file import whole_file

ALIGNMENT = 64
VERSION = 3
"""Raised with every change of the arrays or of how they are made."""
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
CHUNK_BYTES = 1 << 20


def read_gt(path: Path, *, masks: bool, threads: int, later: Executor) -> GroundTruth:
    """The ground truth in ``path``, from the cache where its content is the same.

    A cache that cannot be read or written is no error; it is written on ``later``, beside the work that
    follows. Raises ``UserError`` for a bad file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    key = f"{VERSION} {fingerprint(path)}"
    for cache in _caches(path):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            gt = _load(cache, key, masks=masks)
            if gt is not None:
                return gt
    gt = read_gt_json(path, masks=masks, threads=threads)
    if masks and gt.areas_given:
        later.submit(_save_somewhere, path, key, gt)
    return gt


def _save_somewhere(path: Path, key: str, gt: GroundTruth) -> None:
    for cache in _caches(path):
        with contextlib.suppress(OSError, UserError):
            _save(cache, key, gt)
            return


def _caches(path: Path) -> Iterator[Path]:
    """Where a cache may be, the preferred file first."""
    yield path.with_name(f".{path.name}.lvistk-truth")
    root = os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # a user without a home folder
        folder = (Path(root) if root else Path.home() / ".cache") / "lvistk" / "gt"
        yield folder / f"{fingerprint(path).replace(':', '-')}.gt"


def _load(cache: Path, key: str, *, masks: bool) -> GroundTruth | None:
    """The ground truth in a cache file, mapped; None where the cache is another's, old or damaged."""
    with cache.open("rb") as handle:
        if not _is_ours(cache, handle):
            return None
        checksum = handle.readline(CHUNK_BYTES)
        body = handle.tell()
        if checksum != _checksum_line(key, _checksum(handle)):
            return None
        handle.seek(body)
        head = json.loads(handle.readline())
        # a copy on write, which nobody writes to: kernels are compiled for writable arrays
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY)
        start = _aligned(handle.tell())
    arrays = {}
    for name, (shape, offset) in head["arrays"].items():
        arrays[name] = np.frombuffer(mapped, DTYPES[name], math.prod(shape), start + offset)
        arrays[name] = arrays[name].reshape(shape)
    gt = GroundTruth(
        arrays=GroundTruthArrays(*(arrays[name] for name in GroundTruthArrays._fields)),
        names=tuple(head["names"]),
        frequency=np.array(head["frequency"], "<U1"),
        image_counts=arrays["image_counts"],
        has_masks=masks,
        areas_given=True,
        warnings=tuple(head["warnings"]),
    )
    return gt if are_sound(gt) else None


def _is_ours(cache: Path, handle: BinaryIO) -> bool:
    """Whether this user wrote the file and nobody else can have changed it."""
    status = os.fstat(handle.fileno())
    own = status.st_uid == os.geteuid() and not status.st_mode & OTHERS_MAY_WRITE
    return own and stat.S_ISREG(status.st_mode) and not cache.is_symlink()


def _checksum(handle: BinaryIO) -> int:
    """Of all that follows in the file; plain reads, since mapped pages would count as memory."""
    checksum = 0
    while chunk := handle.read(CHUNK_BYTES):
        checksum = zlib.crc32(chunk, checksum)
    return checksum


def _checksum_line(key: str, checksum: int) -> bytes:
    return f"{key} {checksum:08x}\n".encode()


def _save(cache: Path, key: str, gt: GroundTruth) -> None:
    """A line with key and checksum, a line of JSON, then the arrays, each at a multiple of ALIGNMENT."""
    arrays = {**gt.arrays._asdict(), "image_counts": gt.image_counts}
    arrays = {name: np.ascontiguousarray(a, DTYPES[name]) for name, a in arrays.items()}
    sizes = [_aligned(array.nbytes) for array in arrays.values()]
    offsets = [0, *itertools.accumulate(sizes)]
    head = {
        "names": gt.names,
        "frequency": gt.frequency.tolist(),
        "warnings": gt.warnings,
        "arrays": {
            name: [array.shape, offset]
            for (name, array), offset in zip(arrays.items(), offsets[:-1], strict=True)
        },
    }
    line = json.dumps(head).encode() + b"\n"
    begin = len(_checksum_line(key, 0))
    pieces = [line.ljust(_aligned(begin + len(line)) - begin, b"\0")]
    for array, size in zip(arrays.values(), sizes, strict=True):
        pieces += [array.data.cast("B") if array.size else b"", bytes(size - array.nbytes)]
    checksum = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
    with whole_file(cache) as temporary, temporary.open("wb") as handle:
        handle.write(_checksum_line(key, checksum))
        handle.writelines(pieces)
    cache.chmod(cache.stat().st_mode & ~OTHERS_MAY_WRITE)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
