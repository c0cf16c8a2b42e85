"""Images from disk: decoded, turned upright, checked."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from lvistk.config.inference import MAX_PIXELS
from lvistk.data.images.header import header_size
from lvistk.data.images.jpeg_end import JPEG_START, is_cut_jpeg
from lvistk.errors import UserError

QUARTER_TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class ImageError(UserError):
    """An image that is missing, broken, or not of the size that its annotations say."""


def read_image(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    rotation: int = 0,
    reduce: int = 1,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """The image as (H, W, 3) uint8 in OpenCV's order blue, green, red (``planes`` gives RGB).

    ``size`` (height, width) is what the annotations say; an image of another size is an error. It is
    turned as its EXIF says, or left as stored where only that has the right size. ``rotation``
    (Open Images) turns it counter-clockwise by 90, 180 or 270 degrees, and then EXIF is not asked.
    ``reduce`` 2, 4 or 8 gives that part of the size (rounded up); a JPEG is decoded at it, which is
    cheaper than decoding all and scaling down. An image whose header says more than ``max_pixels`` is
    not decoded at all.

    Raises ``ImageError``.
    """
    data = _bytes(path)
    _check_pixels(data, path, max_pixels)
    image = _decode(data, path, reduce=reduce, as_stored=bool(rotation))
    wanted = None if size is None else (-(-size[0] // reduce), -(-size[1] // reduce))
    if rotation:
        image = cv2.rotate(image, QUARTER_TURNS[rotation])
    elif wanted is not None and image.shape[:2] != wanted:
        image = _decode(data, path, reduce=reduce, as_stored=True)
    if wanted is not None and image.shape[:2] != wanted:
        height, width = image.shape[:2]
        raise ImageError(
            f"{path}: image is {width}x{height} where the annotations say {wanted[1]}x{wanted[0]}"
            f"{f' (both at 1/{reduce})' if reduce > 1 else ''}; use the image they were made on"
        )
    return image


def planes(image: np.ndarray) -> np.ndarray:
    """(3, H, W) RGB of an image (H, W, 3) in blue, green, red."""
    turned = np.empty((3, *image.shape[:2]), np.uint8)
    for channel in range(3):
        cv2.extractChannel(image, 2 - channel, dst=turned[channel])
    return turned


def _bytes(path: Path) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise ImageError(
            f"{path}: image is missing; set the folder of images, or [loader] defects = 'skip'"
        ) from None
    except OSError as error:
        raise ImageError(f"{path}: image can't be read: {error.strerror}") from None
    if not len(data):
        raise ImageError(f"{path}: image is an empty file; fetch it again")
    return data


def _check_pixels(data: np.ndarray, path: Path, max_pixels: int) -> None:
    said = header_size(data.data)
    if said is not None and said[0] * said[1] > max_pixels:
        raise ImageError(
            f"{path}: image of {said[1]}x{said[0]} pixels, more than the {max_pixels} that "
            "max_pixels of [loader] or [predict] allows; make it smaller or raise the setting"
        )


def _decode(data: np.ndarray, path: Path, *, reduce: int, as_stored: bool) -> np.ndarray:
    if reduce > 1 and data[:2].tobytes() != JPEG_START:
        # OpenCV rounds the sides of other formats down, and decodes all of them first
        whole = _decode(data, path, reduce=1, as_stored=as_stored)
        size = (-(-whole.shape[1] // reduce), -(-whole.shape[0] // reduce))
        return cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    if is_cut_jpeg(data.data):
        raise ImageError(f"{path}: JPEG is cut short; fetch it again")
    _silence_opencv()
    flag = REDUCED[reduce] | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    try:
        image = cv2.imdecode(data, flag)
    except cv2.error:  # OpenCV refuses some sizes by an exception
        image = None
    if image is None:
        raise ImageError(f"{path}: not an image that can be decoded; fetch it again")
    return image


@lru_cache(maxsize=1)
def _silence_opencv() -> None:
    """Once per process: OpenCV writes lines of its own about broken images, which are told in one of ours."""
    silent = 0
    of_version_4 = getattr(cv2, "setLogLevel", None)
    if of_version_4 is not None:
        of_version_4(silent)
    else:
        cv2.utils.logging.setLogLevel(silent)
