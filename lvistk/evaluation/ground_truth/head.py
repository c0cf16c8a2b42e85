"""Images and categories of an annotation file, and the checks of its annotations."""

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation.blocks import HAS_AREA, HAS_BOX, HAS_CATEGORY, HAS_ID, HAS_IMAGE, Block
from lvistk.json_input.faults import JSON_ERRORS, json_fault, plain_message
from lvistk.json_input.text import JsonText, json_text
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, MOST_PIXELS, TOO_LARGE


class _Top(msgspec.Struct):
    images: msgspec.Raw
    categories: msgspec.Raw
    annotations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Side = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]


class Image(msgspec.Struct):
    """An image of the file."""

    id: Id
    height: Side
    width: Side
    neg_category_ids: list[Id] | None = None
    not_exhaustive_category_ids: list[Id] | None = None


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
        images = msgspec.json.decode(top.images, type=list[Image])
        categories = msgspec.json.decode(top.categories, type=list[Category])
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: no LVIS annotations: {plain_message(error)}") from None
    except JSON_ERRORS as error:
        raise UserError(f"{path}: {json_fault(text.data, error)}") from None
    if isinstance(top.annotations, msgspec.UnsetType):
        raise UserError(f"{path}: has no annotations, so nothing can be compared with it")
    span = np.frombuffer(memoryview(top.annotations), np.uint8)
    start = span.ctypes.data - np.frombuffer(text.data, np.uint8).ctypes.data
    if bytes(span[:1]) != b"[":
        raise UserError(f"{path}: annotations is no list")
    images.sort(key=lambda image: image.id)
    categories.sort(key=lambda category: category.id)
    require_unique(np.array([image.id for image in images], np.int64), path=path, what="image")
    ids = np.array([category.id for category in categories], np.int64)
    require_unique(ids, path=path, what="category")
    return Head(text, images, categories, (start + 1, start + len(span) - 1))


def require_unique(ids: np.ndarray, *, path: Path, what: str) -> None:
    """Raise ``UserError`` where ascending ``ids`` have one twice."""
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise UserError(f"{path}: duplicate {what} id {twice[0]}")


def frequency_of(category: Category, path: Path) -> str:
    """``r``, ``c``, ``f``, or '' where the file says nothing."""
    if category.frequency is None:
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


def gt_warnings(head: Head, *, ids: np.ndarray, areas: np.ndarray) -> tuple[str, ...]:
    """What a user should know of a ground truth instance that can be evaluated; annotation
    ``ids`` and ``areas`` (A,)."""
    found = []
    bare = sum(
        i.neg_category_ids is None or i.not_exhaustive_category_ids is None for i in head.images
    )
    if bare:
        found.append(
            f"{bare} images of the ground truth have no federated lists; they count as empty"
        )
    if any(category.frequency is None for category in head.categories):
        found.append("categories without frequency: they are in none of APr, APc, APf")
    if np.any(ids == 0):
        found.append(
            "annotation id 0: lvis-api takes a detection matched to it for unmatched, and so do we"
        )
    flat = int(np.count_nonzero(~(areas > 0)))
    if flat:
        found.append(f"{flat} annotations of the ground truth have no area; lvis-api ignores them")
    return tuple(found)


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
        "area": HAS_AREA,
        "bbox": HAS_BOX,
    }
    for name, bit in wanted.items():
        missing = (block.has & bit) == 0
        if missing.any():
            row = int(np.argmax(missing))
            known = f" {block.ids[row]}" if block.has[row] & HAS_ID else ""
            raise UserError(f"{path}: annotation{known}: no {name}")
    images = rows_of(block.image_ids, image_ids)
    categories = rows_of(block.category_ids, category_ids)
    for rows, what, given in (
        (images, "image_id", block.image_ids),
        (categories, "category_id", block.category_ids),
    ):
        if (rows < 0).any():
            row = int(np.argmax(rows < 0))
            raise UserError(f"{path}: annotation {block.ids[row]}: no such {what} {given[row]}")
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
