"""A JPEG is whole when its own picture ends, whatever lies behind it or within its header."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.data.images.decode import ImageError, read_image
from lvistk.data.images.jpeg_end import is_cut_jpeg

PIXELS = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


def jpeg(pixels: np.ndarray = PIXELS, *options: int) -> bytes:
    done, data = cv2.imencode(".jpg", pixels, options)
    assert done
    return data.tobytes()


def with_preview(data: bytes) -> bytes:
    """The JPEG with a small JPEG in its header, as cameras write it."""
    inner = b"Exif\0\0" + jpeg(PIXELS[:16, :16])
    return data[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + data[2:]


PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 4)


@pytest.mark.parametrize("data", [jpeg(), jpeg(PIXELS, *PROGRESSIVE), with_preview(jpeg())])
@pytest.mark.parametrize("tail", [b"", bytes(9), b"ftypmp42" * 20_000, jpeg()])
def test_what_lies_behind_the_end_does_not_matter(data: bytes, tail: bytes, tmp_path: Path) -> None:
    assert not is_cut_jpeg(data + tail)
    path = tmp_path / "a.jpg"
    path.write_bytes(data + tail)
    assert read_image(path).shape == (60, 80, 3)


@pytest.mark.parametrize("data", [jpeg(), jpeg(PIXELS, *PROGRESSIVE), with_preview(jpeg())])
def test_a_cut_jpeg_is_told_at_every_length(data: bytes, tmp_path: Path) -> None:
    assert all(is_cut_jpeg(data[:length]) for length in range(2, len(data) - 2, 7))
    path = tmp_path / "a.jpg"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="cut short"):
        read_image(path)


def test_other_formats_are_never_cut() -> None:
    assert not is_cut_jpeg(b"")
    assert not is_cut_jpeg(b"\x89PNG")
