"""Missing, broken and cut images of an index."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from lvistk.data.images.decode import JPEG_END, JPEG_START, ImageError, read_image
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.errors import UserError

TAIL_BYTES = 4096
"""Some cameras write a few bytes after a JPEG's end."""


class ImageFault(msgspec.Struct):
    """An image that training could not use: ``kind`` is missing, truncated or broken."""

    image_id: int
    file: str
    kind: str
    text: str


def check_images(
    index: AnnotationIndex, root: Path, *, decode: bool, advance: Callable[[], None]
) -> list[ImageFault]:
    """The faulty images of ``index`` below ``root``.

    Each must be there and, as a JPEG, have its end; with ``decode`` each is also decoded and measured,
    some 5 ms an image. ``advance`` is called after every image.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder of images")
    faults = []
    for i in range(len(index)):
        fault = _fault(index, i, root, decode=decode)
        if fault is not None:
            kind, text = fault
            faults.append(ImageFault(int(index.image_ids[i]), index.file_name(i), kind, text))
        advance()
    return faults


def _fault(index: AnnotationIndex, i: int, root: Path, *, decode: bool) -> tuple[str, str] | None:
    try:
        path = index.image_path(i, root)
    except UserError:
        return "missing", f"not below {root}"
    if _is_cut(path):
        return "truncated", "the file ends before the picture does; copy or download it again"
    if decode:
        try:
            read_image(path, size=index.size(i))
        except ImageError as error:
            return "broken", str(error)
    return None


def _is_cut(path: Path) -> bool:
    with path.open("rb") as handle:
        start = handle.read(2)
        if start != JPEG_START:
            return not start
        handle.seek(max(handle.seek(0, 2) - TAIL_BYTES, 0))
        return JPEG_END not in handle.read()
