"""Images and categories of an annotation file, and the checks of its annotations."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation.blocks import HAS_CATEGORY, HAS_ID, HAS_IMAGE, Block
from lvistk.json_input.faults import JSON_ERRORS, json_fault, plain_message
from lvistk.json_input.mend import mend_record
from lvistk.json_input.segmentation import Unfit, short
from lvistk.json_input.text import JsonText, json_text
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, MOST_PIXELS, TOO_LARGE


class _Top(msgspec.Struct):
    images: msgspec.Raw = msgspec.Raw()
    categories: msgspec.Raw = msgspec.Raw()
    annotations: msgspec.Raw = msgspec.Raw()


Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Side = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Record = TypeVar("Record")


class Image(msgspec.Struct):
    """An image of the file; its size may be unknown where only boxes are evaluated."""

    id: Id
    height: Side | None = None
    width: Side | None = None
    neg_category_ids: list[Id] | None = None
    not_exhaustive_category_ids: list[Id] | None = None
    file_name: str | None = None
    coco_url: str | None = None


class Category(msgspec.Struct):
    """A category of the file."""

    id: Id
    name: str = ""
    frequency: str | None = None
    image_count: Id | None = None


class Head(NamedTuple):
    """What an annotation file holds beside its annotations.

    text: the open file
    images: by ascending id
    categories: by ascending id
    annotations: offsets in ``text.data`` of the list of annotations, without its brackets
    """

    text: JsonText
    images: list[Image]
    categories: list[Category]
    annotations: tuple[int, int]


def read_head(path: Path) -> Head:
    """The head of an annotation file. Raises ``UserError`` where it is none, or has an id twice."""
    text = json_text(path)
    try:
        top = msgspec.json.decode(text.data, type=_Top)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: no LVIS annotations: {plain_message(error)}") from None
    except JSON_ERRORS as error:
        raise UserError(f"{path}: {json_fault(text.data, error)}") from None
    images = _records(top.images, Image, path=path, name="images", one="image")
    categories = _records(top.categories, Category, path=path, name="categories", one="category")
    span = np.frombuffer(memoryview(top.annotations), np.uint8)
    if bytes(span[:4]) in (b"", b"null"):
        raise UserError(f"{path}: has no annotations, so nothing can be compared with it")
    start = span.ctypes.data - np.frombuffer(text.data, np.uint8).ctypes.data
    if bytes(span[:1]) != b"[":
        raise UserError(f"{path}: annotations is no list")
    images.sort(key=lambda image: image.id)
    categories.sort(key=lambda category: category.id)
    require_unique(np.array([image.id for image in images], np.int64), path=path, what="image")
    ids = np.array([category.id for category in categories], np.int64)
    require_unique(ids, path=path, what="category")
    return Head(text, images, categories, (start + 1, start + len(span) - 1))


def _records(
    raw: msgspec.Raw, kind: type[Record], *, path: Path, name: str, one: str
) -> list[Record]:
    """The records of a list of the file; those that another tool wrote differently one by one."""
    if bytes(memoryview(raw)[:4]) in (b"", b"null"):
        raise UserError(f"{path}: has no list of {name}, so it is no LVIS or COCO annotation file")
    try:
        return msgspec.json.decode(raw, type=list[kind])
    except JSON_ERRORS:
        pass
    try:
        items = msgspec.json.decode(raw, type=list[Any])
    except JSON_ERRORS as error:
        raise UserError(f"{path}: {name}: {plain_message(error)}") from None
    records = []
    for row, item in enumerate(items):
        try:
            mended = mend_record(item)
            if isinstance(mended.get("id"), str):
                raise Unfit(
                    "its id is text; give whole numbers to images and categories, and use them in "
                    "annotations and results"
                )
            records.append(msgspec.convert(mended, kind))
        except (Unfit, msgspec.ValidationError) as error:
            known = item.get("id") if isinstance(item, dict) else None
            which = f"{one} {short(known)}" if known is not None else f"{one} {row + 1} of the list"
            raise UserError(f"{path}: {which}: {plain_message(error)}") from None
    return records


def require_sizes(head: Head) -> None:
    """Raise ``UserError`` for the first image whose size is unknown, or too large for masks."""
    for image in head.images:
        width, height = image.width, image.height
        if width is None or height is None:
            raise UserError(
                f"{head.text.path}: image {image.id}: no {'width' if width is None else 'height'}; "
                'needed for masks, not for kinds=["bbox"]'
            )
        if height * width > MOST_PIXELS:
            raise UserError(
                f"{head.text.path}: image {image.id}: {width} x {height} pixels are too many for "
                f'masks (at most {MOST_PIXELS}); not for kinds=["bbox"]'
            )


def require_unique(ids: np.ndarray, *, path: Path, what: str) -> None:
    """Raise ``UserError`` where ascending ``ids`` hold a duplicate."""
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise UserError(
            f"{path}: duplicate {what} id {twice[0]}; give each {what} an id of its own"
        )


def frequency_of(category: Category, path: Path) -> str:
    """``r``, ``c``, ``f``, or '' where the file says nothing."""
    if not category.frequency:
        return ""
    if category.frequency not in ("r", "c", "f"):
        raise UserError(
            f"{path}: category {category.id}: frequency {category.frequency!r}, not r, c or f"
        )
    return category.frequency


def rows_of(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows (N,) of ``ids`` in ascending ``known``; -1 where it is not there."""
    if not len(known):
        return np.full(len(ids), -1, np.int64)
    rows = np.searchsorted(known, ids).clip(0, len(known) - 1)
    return np.where(known[rows] == ids, rows, -1)


def gt_warnings(
    head: Head,
    *,
    ids: np.ndarray,
    areas: np.ndarray,
    computed: int,
    boxless: int,
    dropped: int,
) -> tuple[str, ...]:
    """What a user should know of a ground truth that can be evaluated.

    ids, areas: (A,) of its annotations
    computed: areas that the file lacks
    boxless: boxes that the file lacks
    dropped: parts of masks that were left out
    """
    lines = []
    bare = sum(
        i.neg_category_ids is None or i.not_exhaustive_category_ids is None for i in head.images
    )
    if bare:
        lines.append(
            f"{bare} images of the ground truth have no neg_category_ids or not_exhaustive_category_ids "
            "(plain COCO?): as in LVIS, detections in images without an instance of their category do not "
            "count as false positives; for COCO's protocol evaluate against the file that "
            f"`lvistk convert {head.text.path.name} --from coco --out NEW.json` writes"
        )
    if not all(category.frequency for category in head.categories):
        lines.append("categories without frequency: they are in none of APr, APc, APf")
    if np.any(ids == 0):
        lines.append(
            "annotation id 0: lvis-api takes a detection matched to it for unmatched, and so do we"
        )
    if computed:
        lines.append(
            f"{computed} annotations of the ground truth have no area; it was computed from the mask, "
            "from the box where no masks are evaluated"
        )
    if boxless:
        lines.append(
            f"{boxless} annotations of the ground truth have no bbox; it was computed from the mask"
        )
    if dropped:
        lines.append(
            f"{dropped} parts of masks of the ground truth are no polygons; they were left out beside "
            "good ones"
        )
    flat = int(np.count_nonzero(~(areas > 0)))
    if flat:
        lines.append(
            f"{flat} annotations of the ground truth have an area of 0; lvis-api ignores them"
        )
    return tuple(lines)


def known_rows(
    block: Block, path: Path, image_ids: np.ndarray, category_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (A,) of the images and categories of A annotations.

    Raises ``UserError`` for the first annotation that lacks a field, or whose image or category does.
    """
    wanted = {
        "image_id": HAS_IMAGE,
        "category_id": HAS_CATEGORY,
        "id": HAS_ID,
    }
    for name, bit in wanted.items():
        missing = (block.has & bit) == 0
        if missing.any():
            row = int(np.argmax(missing))
            known = f" {block.ids[row]}" if block.has[row] & HAS_ID else ""
            raise UserError(f"{path}: annotation{known}: no {name}; every annotation needs one")
    images = rows_of(block.image_ids, image_ids)
    categories = rows_of(block.category_ids, category_ids)
    for rows, what, given in (
        (images, "image_id", block.image_ids),
        (categories, "category_id", block.category_ids),
    ):
        if (rows < 0).any():
            row = int(np.argmax(rows < 0))
            raise UserError(
                f"{path}: annotation {block.ids[row]}: {what} {given[row]} is not in the file; add it, or "
                "remove the annotation"
            )
    return images, categories


def bad_mask(block: Block, row: int, code: int, path: Path) -> UserError:
    """The error of an annotation whose mask is wrong."""
    ids = f"annotation {block.ids[row]} (image {block.image_ids[row]})"
    return UserError(f"{path}: {ids}: {MASK_COMPLAINTS[code]}")


MASK_COMPLAINTS = {
    BAD_COUNTS: "its RLE does not fill the image",
    TOO_LARGE: f"its image has more than {MOST_PIXELS} pixels, too many for a mask",
    BAD_POLYGON: "a polygon with fewer than three points, an odd number of coordinates, or "
    "coordinates far outside; or no mask",
}
