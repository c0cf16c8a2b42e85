"""The digest of a file of tensors, without torch: CRC-32 of JSON table, names, shapes, types and bytes."""

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

KEY = "lvistk"
"""safetensors metadata are flat strings; lvistk's are one JSON text under this name."""
DIGEST = "crc32"
"""The digest's name, the first in that JSON; files of version 0.1.0 have none and are read all the same.
(A second name of safetensors' own metadata would stand in another order each time.)"""


class Piece(NamedTuple):
    """A tensor as the digest takes it.

    dtype: as torch writes it, ``torch.float32``
    data: its bytes, row by row
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: Any


class Damaged(ValueError):
    """Metadata that are not what was written; the message says why."""


def digest_of(pieces: Iterable[Piece], table: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits, of the table and of all tensors in the order of their names."""
    value = zlib.crc32(json.dumps(table).encode())
    for piece in sorted(pieces, key=lambda piece: piece.name):
        value = zlib.crc32(f"{piece.name} {piece.shape} {piece.dtype}".encode(), value)
        value = zlib.crc32(piece.data, value)
    return f"{value:08x}"


def split_table(text: str) -> tuple[dict[str, Any], str | None]:
    """The table of a metadata text, and its digest unless the file is old. Raises ``Damaged``."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged("no JSON") from None
    if not isinstance(table, dict):
        raise Damaged("no table")
    name = next(iter(table), "")
    digest = table.get(name)
    is_digest = isinstance(digest, str) and re.fullmatch("[0-9a-f]{8}", digest) is not None
    if is_digest != (name == DIGEST):
        raise Damaged("no digest")
    return table, table.pop(DIGEST, None)
