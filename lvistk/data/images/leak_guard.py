"""Images that must not be trained on, known by what they show."""

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvistk.data.images.content_hash import (
    WINDOWS,
    content_hash,
    same_picture,
    window_hashes,
)
from lvistk.data.images.decode import ImageError, read_image
from lvistk.errors import UserError
from lvistk.whole_file import whole_file

VERSION = "2"
"""Of what is kept; raised whenever hashes change."""


@dataclass(frozen=True, eq=False)
class LeakGuard:
    """N images to keep out.

    hashes: (N, W, 4) uint64 of ``window_hashes``
    names: what each is called
    unreadable: how many more could not be read, and are not guarded
    """

    hashes: np.ndarray
    names: list[str]
    unreadable: int = 0

    def match(self, pixels: np.ndarray) -> str | None:
        """The name of the image that ``pixels`` (H, W, 3) also show; None for none."""
        if not len(self.hashes):
            return None
        same = np.flatnonzero(same_picture(self.hashes.reshape(-1, 4), content_hash(pixels)))
        return self.names[same[0] // self.hashes.shape[1]] if len(same) else None


def build_guard(
    paths: Sequence[Path],
    *,
    cache: Path,
    key: str,
    workers: int,
    advance: Callable[[], None] = lambda: None,
) -> LeakGuard:
    """The guard of image files, read by ``workers`` threads, and kept below ``cache`` under ``key``.

    A kept one is read again as long as ``key`` is the same; a damaged one is built anew. Raises
    ``UserError`` where no image can be read.
    """
    digest = hashlib.blake2b("\n".join([VERSION, key, *map(str, paths)]).encode(), digest_size=16)
    kept = cache / f"leak-guard-{digest.hexdigest()}.json"
    guard = _read(kept)
    if guard is not None:
        return guard
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        hashed = []
        for path, value in zip(paths, pool.map(_hash, paths), strict=True):
            advance()
            if value is not None:
                hashed.append((path, value))
    if not hashed:
        raise UserError(f"{paths[0] if paths else cache}: no image to exclude can be read")
    guard = LeakGuard(
        np.stack([value for _, value in hashed]),
        [path.name for path, _ in hashed],
        len(paths) - len(hashed),
    )
    _write(kept, guard)
    return guard


def _write(path: Path, guard: LeakGuard) -> None:
    rows = [value.tobytes().hex() for value in guard.hashes]
    text = json.dumps({"hashes": rows, "names": guard.names, "unreadable": guard.unreadable})
    with whole_file(path) as temporary:
        temporary.write_text(f"{zlib.crc32(text.encode()):08x}\n{text}")


def _read(path: Path) -> LeakGuard | None:
    """What was kept; None where there is nothing, or its checksum is another."""
    try:
        checksum, text = path.read_text().split("\n", 1)
        if checksum != f"{zlib.crc32(text.encode()):08x}":
            return None
        table = json.loads(text)
    except (OSError, ValueError):
        return None
    hashes = np.frombuffer(bytes.fromhex("".join(table["hashes"])), np.uint64)
    hashes = hashes.reshape(-1, len(WINDOWS), 4)
    return LeakGuard(hashes, table["names"], table["unreadable"])


def _hash(path: Path) -> np.ndarray | None:
    try:
        return window_hashes(read_image(path))
    except ImageError:
        return None
