"""The parsed ground truth, kept between runs: beside the annotation file, or in the user's cache folder."""

import contextlib
import itertools
import json
import math
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from lvistk.artifacts import fingerprint
from lvistk.errors import UserError
from lvistk.evaluation.ground_truth.annotations import read_gt_json
from lvistk.evaluation.ground_truth.arrays import GroundTruth, GroundTruthArrays
from lvistk.whole_file import whole_file

ALIGNMENT = 64
VERSION = 2
"""Raised with every change of the arrays or of how they are made."""


def read_gt(path: Path, *, masks: bool, threads: int, later: Executor) -> GroundTruth:
    """The ground truth in ``path``, from the cache where its content is the same.

    A cache that cannot be read or written is no error; it is written on ``later``, beside the work that
    follows. Raises ``UserError`` for a bad file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    key = f"{VERSION} {fingerprint(path)}"
    for place in _places(path):
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = _load(place, key, masks=masks)
            if found is not None:
                return found
    gt = read_gt_json(path, masks=masks, threads=threads)
    if masks and gt.areas_given:
        later.submit(_save_somewhere, path, key, gt)
    return gt


def _save_somewhere(path: Path, key: str, gt: GroundTruth) -> None:
    for place in _places(path):
        with contextlib.suppress(OSError, UserError):
            _save(place, key, gt)
            return


def _places(path: Path) -> Iterator[Path]:
    yield path.with_name(f".{path.name}.lvistk-truth")
    root = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(root) if root else Path.home() / ".cache") / "lvistk" / "gt"
    yield folder / f"{fingerprint(path).replace(':', '-')}.ground truth"


def _load(place: Path, key: str, *, masks: bool) -> GroundTruth | None:
    """The ground truth in a cache file, mapped: what is not asked for is never read."""
    with place.open("rb") as handle:
        head = json.loads(handle.readline())
        if head["key"] != key:
            return None
        # a copy on write, which nobody writes to: kernels are compiled for writable arrays
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY)
        start = _aligned(handle.tell())
    arrays = {
        name: np.frombuffer(mapped, kind, math.prod(shape), start + offset).reshape(shape)
        for name, (kind, shape, offset) in head["arrays"].items()
    }
    return GroundTruth(
        arrays=GroundTruthArrays(*(arrays[name] for name in GroundTruthArrays._fields)),
        names=tuple(head["names"]),
        frequency=np.array(head["frequency"], "<U1"),
        image_counts=arrays["image_counts"],
        has_masks=masks,
        areas_given=True,
        warnings=tuple(head["warnings"]),
    )


def _save(place: Path, key: str, gt: GroundTruth) -> None:
    """One line of JSON, then the arrays, each at a multiple of ALIGNMENT."""
    arrays = {**gt.arrays._asdict(), "image_counts": gt.image_counts}
    sizes = [_aligned(array.nbytes) for array in arrays.values()]
    offsets = [0, *itertools.accumulate(sizes)]
    head = {
        "key": key,
        "names": gt.names,
        "frequency": gt.frequency.tolist(),
        "warnings": gt.warnings,
        "arrays": {
            name: [array.dtype.str, array.shape, offset]
            for (name, array), offset in zip(arrays.items(), offsets[:-1], strict=True)
        },
    }
    line = json.dumps(head).encode() + b"\n"
    with whole_file(place) as temporary, temporary.open("wb") as handle:
        handle.write(line.ljust(_aligned(len(line)), b"\0"))
        for array, size in zip(arrays.values(), sizes, strict=True):
            handle.write(np.ascontiguousarray(array).data if array.size else b"")
            handle.write(bytes(size - array.nbytes))


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT
