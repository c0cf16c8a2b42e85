"""A JSON array of records in a file, cut into sections that end between two records.

Sections are read one by one into a buffer (a mapped file would count as memory) and scanned in parallel.
A cut is made where an object ends, a comma follows, and another begins with the key that the first record
begins with. That the scan of a section ends exactly at its cut proves the cut right.
"""

import os
import re
import threading
from dataclasses import dataclass

import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation.blocks import PADDING
from lvistk.json_input.text import JsonText

SECTION_BYTES = 3 << 20
WHOLE_BYTES = 512 << 20
"""A file up to this size is parsed at once where its sections cannot be."""
_FIRST_KEY = re.compile(rb"\s*\{\s*(\"[A-Za-z_0-9]*\")")
_SPACE = b" \t\r\n"
_buffer = threading.local()


@dataclass(frozen=True, eq=False)
class JsonArray:
    """Records in bytes ``first:last`` of an open file (without the array's brackets)."""

    text: JsonText
    first: int
    last: int

    def cuts(self, section_bytes: int = SECTION_BYTES) -> list[tuple[int, int]]:
        """Byte ranges of the sections, in order; one for an empty array."""
        firsts = [self.first]
        key = _FIRST_KEY.match(self.piece(self.first, min(self.last, self.first + (1 << 12))))
        if key is None:
            return [(self.first, self.last)]
        cut = re.compile(rb"\}\s*,\s*(?=\{\s*" + key[1] + rb"\s*:)")
        nominal = self.first + section_bytes
        while nominal < self.last:
            start = self._cut_after(cut, nominal)
            if start >= self.last:
                break
            firsts.append(start)
            nominal = start + section_bytes
        return list(zip(firsts, [*firsts[1:], self.last], strict=True))

    def _cut_after(self, cut: re.Pattern[bytes], offset: int) -> int:
        """Where the first record that begins after ``offset`` begins."""
        size = 1 << 14
        while True:
            piece = os.pread(self.text.descriptor, min(size, self.last - offset), offset)
            match = cut.search(piece)
            if match:
                return offset + match.end()
            if offset + len(piece) >= self.last:
                return self.last
            size *= 8

    def piece(self, first: int, last: int) -> bytes:
        """Bytes ``first:last``, in memory of their own."""
        return bytes(self.text.data[first - self.text.first : last - self.text.first])

    def read(self, first: int, last: int) -> np.ndarray:
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
            got = os.preadv(self.text.descriptor, [view[done : last - first]], first + done)
            if got == 0:
                raise UserError(f"{self.text.path}: the file became shorter while it was read")
            done += got
        text[last - first :] = 0
        return text


def results_array(text: JsonText) -> JsonArray:
    """The array of a results file. Raises ``UserError`` where the file is no whole array."""
    path, size = text.path, len(text.data)
    head = bytes(text.data[: 1 << 12])
    first = len(head) - len(head.lstrip(_SPACE))
    if head[first : first + 1] == b"{":
        raise UserError(
            f"{path}: an object; results are a JSON list of detections (the ground truth comes first)"
        )
    if head[first : first + 1] != b"[":
        raise UserError(f"{path}: no JSON list of detections")
    start = max(size - (1 << 16), 0)
    tail = bytes(text.data[start:]).rstrip(_SPACE)
    last = start + len(tail) - 1
    if not tail.endswith(b"]") or last == first:
        raise UserError(f"{path}: ends in the middle, after {size} bytes; write it again")
    return JsonArray(text, text.first + first + 1, text.first + last)
