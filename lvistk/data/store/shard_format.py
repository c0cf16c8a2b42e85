"""The columns of a detection shard, and the digest that covers them."""

import zlib

import numpy as np

FORMAT = "lvistk.detections"
VERSION = 2
"""What is written now. Version 1, read too, is the same without a digest."""
READABLE = (1, 2)
COLUMNS = {
    "label": np.int32,
    "score": np.float32,
    "box": np.float32,
    "images/id": np.int64,
    "images/height": np.int32,
    "images/width": np.int32,
    "images/row": np.int64,
    "category_ids": np.int64,
}
OPTIONAL = {
    "mask_score": np.float32,
    "rle": np.uint8,
    "rle_offset": np.int64,
    "mask_area": np.int32,
    "mask_box": np.int32,
    "annotation_id": np.int64,
    "images/name": np.uint8,
    "images/name_offset": np.int64,
    "images/rotation": np.int32,
    "level_moves": np.float64,
}


class Digest:
    """CRC-32 of a shard: its role, and names, types, shapes and bytes of its columns by ascending name.

    It finds what disks and copies do to files, such as a flipped byte or a lost block; it is no
    protection against a person who means to change a file.
    """

    def __init__(self, role: str) -> None:
        self._value = zlib.crc32(role.encode())

    def column(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """Begin a column; its bytes follow."""
        head = f"{name} {np.dtype(dtype).str} {tuple(map(int, shape))}"
        self._value = zlib.crc32(head.encode(), self._value)

    def data(self, values: np.ndarray) -> None:
        """The next bytes of the column."""
        if values.size:
            flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
            self._value = zlib.crc32(flat.data, self._value)

    def text(self) -> str:
        """Eight hexadecimal digits."""
        return f"{self._value:08x}"
