"""Missing, broken and cut images of an index."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from lvistk.data.images.decode import ImageError, read_image
from lvistk.data.images.jpeg_end import JPEG_END, JPEG_START, is_cut_jpeg
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.errors import UserError


class ImageFault(msgspec.Struct):
    """An image that training could not use, or would use twice.

    image_id: of the annotation file
    file: what the annotation file calls it
    kind: missing, truncated, broken or twice
    text: what is wrong
    """

    image_id: int
    file: str
    kind: str
    text: str


def check_images(
    index: AnnotationIndex, root: Path, *, decode: bool, advance: Callable[[], None]
) -> list[ImageFault]:
    """The faulty images of ``index`` below ``root``.

    Each must be there, be the file of no other image and, as a JPEG, have its end; with ``decode`` each is
    also decoded and measured, which takes about 5 ms per image. ``advance`` is called after every image.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder of images")
    faults = []
    image_of: dict[Path, int] = {}
    for i in range(len(index)):
        fault = _fault(index, i, root, image_of=image_of, decode=decode)
        if fault is not None:
            kind, text = fault
            faults.append(ImageFault(int(index.image_ids[i]), index.file_name(i), kind, text))
        advance()
    return faults


def _fault(
    index: AnnotationIndex, i: int, root: Path, *, image_of: dict[Path, int], decode: bool
) -> tuple[str, str] | None:
    try:
        path = index.image_path(i, root)
    except UserError as error:
        return "missing", str(error)
    first = image_of.setdefault(path, int(index.image_ids[i]))
    if first != int(index.image_ids[i]):
        return "twice", f"the same file as image {first}; make them one (`lvistk convert` does)"
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
        handle.seek(-2, 2)
        if handle.read() == JPEG_END:
            return False
        handle.seek(0)
        return is_cut_jpeg(handle.read())
