"""Images from disk: decoded, turned upright, checked."""

from pathlib import Path

import cv2
import numpy as np

from lvistk.data.images.jpeg_end import is_cut_jpeg
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
    path: Path, *, size: tuple[int, int] | None = None, rotation: int = 0, reduce: int = 1
) -> np.ndarray:
    """The image as (H, W, 3) uint8 in OpenCV's order blue, green, red (``planes`` gives RGB).

    ``size`` (height, width) is what the annotations say; an image of another size is an error. It is
    turned as its EXIF says, or left as stored where only that has the right size. ``rotation``
    (Open Images) turns it counter-clockwise by 90, 180 or 270 degrees, and then EXIF is not asked.
    ``reduce`` 2, 4 or 8 decodes at that part of the size (rounded up), which is cheaper than decoding
    all and scaling down.

    Raises ``ImageError``.
    """
    data = _bytes(path)
    flag = REDUCED[reduce]
    image = _decode(data, flag if not rotation else flag | cv2.IMREAD_IGNORE_ORIENTATION, path)
    wanted = None if size is None else (-(-size[0] // reduce), -(-size[1] // reduce))
    if rotation:
        image = cv2.rotate(image, QUARTER_TURNS[rotation])
    elif wanted is not None and image.shape[:2] != wanted:
        image = _decode(data, flag | cv2.IMREAD_IGNORE_ORIENTATION, path)
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


def _decode(data: np.ndarray, flag: int, path: Path) -> np.ndarray:
    if is_cut_jpeg(data.data):
        raise ImageError(f"{path}: JPEG is cut short; fetch it again")
    try:
        image = cv2.imdecode(data, flag)
    except cv2.error:  # OpenCV refuses some sizes by an exception
        image = None
    if image is None:
        raise ImageError(f"{path}: not an image that can be decoded; fetch it again")
    return image
