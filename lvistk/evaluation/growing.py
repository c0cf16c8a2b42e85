"""An array that is appended to, and takes memory only for what is in it."""

from typing import Any

import numpy as np


class Growing:
    """Rows of ``kind`` and of shape ``row``, one after the other.

    ``expect`` rows make room at once: its untouched end takes no memory.
    """

    def __init__(self, kind: Any, expect: int, row: tuple[int, ...] = ()) -> None:
        self._data = np.empty((expect, *row), kind)
        self._used = 0

    def add(self, part: np.ndarray) -> None:
        need = self._used + len(part)
        if need > len(self._data):
            larger = np.empty((max(need, 2 * len(self._data)), *self._data.shape[1:]), part.dtype)
            larger[: self._used] = self.filled()
            self._data = larger
        self._data[self._used : need] = part
        self._used = need

    def filled(self) -> np.ndarray:
        """All rows so far."""
        return self._data[: self._used]
