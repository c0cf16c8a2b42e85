"""A picture for people: looked at in a notebook, or written to a file."""

from pathlib import Path

import cv2
import numpy as np

from lvistk.drawing import write_picture
from lvistk.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class Picture:
    """A drawn picture. ``pixels``: (H, W, 3) uint8 RGB."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def save(self, path: str | Path) -> Path:
        """Write the picture in the format of the name's ending, whole or not at all; returns the path.

        path: ends in .png, .jpg, .webp, .bmp or .tif; its folders are made. ``UserError`` for another ending.
        """
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{path}: a picture's name ends in one of {', '.join(SUFFIXES)}")
        write_picture(path, self.pixels)
        return path

    def _repr_png_(self) -> bytes:
        """What notebooks show."""
        _, data = cv2.imencode(".png", cv2.cvtColor(self.pixels, cv2.COLOR_RGB2BGR))
        return data.tobytes()
