"""A JSON array of records in a file, cut into sections that end between two records.

Sections are read one by one into a buffer (a mapped file would count as memory) and scanned in parallel.
A cut is made where an object ends, a comma follows, and another begins with the key that the first record
begins with. That the scan of a section ends exactly at its cut proves the cut right.
"""

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation.results_json.records import PADDING

SECTION_BYTES = 3 << 20
WHOLE_BYTES = 512 << 20
"""A file up to this size is parsed at once where its sections cannot be."""
_FIRST_KEY = re.compile(rb"\s*\{\s*(\"[A-Za-z_0-9]*\")")
_SPACE = b" \t\r\n"
_buffer = threading.local()


@dataclass(frozen=True)
class JsonArray:
    """Records of the array stand in bytes ``first:last`` of the file (without its brackets)."""

    path: Path
    first: int
    last: int

    def cuts(self, section_bytes: int = SECTION_BYTES) -> list[tuple[int, int]]:
        """Byte ranges of the sections, in order; none for an empty array."""
        places = [self.first]
        with self.path.open("rb") as handle:
            handle.seek(self.first)
            key = _FIRST_KEY.match(handle.read(min(self.last - self.first, 1 << 12)))
            if key is None:
                return [(self.first, self.last)]
            cut = re.compile(rb"\}\s*,\s*(?=\{\s*" + key[1] + rb"\s*:)")
            nominal = self.first + section_bytes
            while nominal < self.last:
                place = self._cut_after(handle.fileno(), cut, nominal)
                if place >= self.last:
                    break
                places.append(place)
                nominal = place + section_bytes
        return list(zip(places, [*places[1:], self.last], strict=True))

    def _cut_after(self, descriptor: int, cut: re.Pattern[bytes], place: int) -> int:
        """Where the first record that begins after ``place`` begins."""
        size = 1 << 14
        while True:
            piece = os.pread(descriptor, min(size, self.last - place), place)
            found = cut.search(piece)
            if found:
                return place + found.end()
            if place + len(piece) >= self.last:
                return self.last
            size *= 8

    def piece(self, first: int, last: int) -> bytes:
        """Bytes ``first:last``, in memory of their own."""
        with self.path.open("rb") as handle:
            handle.seek(first)
            return handle.read(last - first)

    def read(self, descriptor: int, first: int, last: int) -> np.ndarray:
        """Bytes ``first:last`` and PADDING zeros, (bytes,) uint8, in this thread's buffer.

        The next read of the same thread overwrites it: new memory for each section would cost more
        than its scan.
        """
        if len(getattr(_buffer, "text", ())) < last - first + PADDING:
            _buffer.text = np.empty((last - first + PADDING) * 5 // 4, np.uint8)
        text = _buffer.text[: last - first + PADDING]
        view = text.data
        done = 0
        while done < last - first:
            got = os.preadv(descriptor, [view[done : last - first]], first + done)
            if got == 0:
                raise UserError(f"{self.path}: the file became shorter while it was read")
            done += got
        text[last - first :] = 0
        return text


def results_array(path: Path) -> JsonArray:
    """The array of a results file. Raises ``UserError`` where the file is no whole array."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            head = handle.read(1 << 12)
            first = len(head) - len(head.lstrip(b"\xef\xbb\xbf" + _SPACE))
            last = _last_visible(handle, size)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if head[first : first + 1] == b"{":
        raise UserError(
            f"{path}: an object; results are a JSON list of detections (the ground truth comes first)"
        )
    if head[first : first + 1] != b"[":
        raise UserError(f"{path}: no JSON list of detections")
    if last is None or last[1] != b"]" or last[0] == first:
        raise UserError(f"{path}: ends in the middle, after {size} bytes; write it again")
    return JsonArray(path, first + 1, last[0])


def _last_visible(handle, size: int) -> tuple[int, bytes] | None:
    """Place and value of the last byte that is no space, within the last 64 KiB."""
    start = max(size - (1 << 16), 0)
    handle.seek(start)
    tail = handle.read().rstrip(_SPACE)
    return (start + len(tail) - 1, tail[-1:]) if tail else None
