"""LVIS annotation JSON into ``Truth``: checked, masks rasterised once and kept beside the file."""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation import json_scan as scan
from lvistk.evaluation.json_records import Records, Unsplittable, map_sections
from lvistk.evaluation.rasterise import rasterise
from lvistk.evaluation.runs import BAD_COUNTS, BAD_POLYGON
from lvistk.evaluation.sections import JsonArray
from lvistk.evaluation.truth import Annotations, Lists, Truth, arrange


class _Top(msgspec.Struct):
    images: msgspec.Raw
    categories: msgspec.Raw
    annotations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Image(msgspec.Struct):
    id: int
    height: int
    width: int
    neg_category_ids: list[int] | None = None
    not_exhaustive_category_ids: list[int] | None = None


class _Category(msgspec.Struct):
    id: int
    name: str = ""
    frequency: str | None = None
    image_count: int | None = None


class _Head(NamedTuple):
    images: list[_Image]
    categories: list[_Category]
    array: JsonArray


def read_truth_json(path: Path, *, masks: bool, threads: int) -> Truth:
    """The truth of an LVIS (or COCO) annotation file; ``masks`` False leaves the masks out.

    Raises ``UserError`` naming the file and the annotation for anything that is missing or impossible.
    """
    head = _read_head(path)
    images = sorted(head.images, key=lambda image: image.id)
    categories = sorted(head.categories, key=lambda category: category.id)
    image_ids = np.array([image.id for image in images], np.int64)
    category_ids = np.array([category.id for category in categories], np.int64)
    _require_unique(image_ids, path=path, what="image")
    _require_unique(category_ids, path=path, what="category")
    heights = np.array([image.height for image in images], np.int32)
    widths = np.array([image.width for image in images], np.int32)
    reader = _AnnotationReader(path, image_ids, category_ids, heights, widths, masks)
    annotations = reader.read(head.array, threads=threads)
    negative = _lists([image.neg_category_ids for image in images], category_ids)
    not_exhaustive = _lists([image.not_exhaustive_category_ids for image in images], category_ids)
    arrays = arrange(
        annotations,
        image_ids=image_ids,
        heights=heights,
        widths=widths,
        category_ids=category_ids,
        negative=negative,
        not_exhaustive=not_exhaustive,
    )
    counts = [-1 if c.image_count is None else c.image_count for c in categories]
    return Truth(
        arrays=arrays,
        names=tuple(category.name for category in categories),
        frequency=np.array([_frequency(category, path) for category in categories], "<U1"),
        image_counts=np.array(counts, np.int64),
        has_masks=masks,
        warnings=_warnings(images, categories, annotations),
    )


def _read_head(path: Path) -> _Head:
    """Images, categories, and where in the file the annotations are."""
    try:
        with path.open("rb") as handle:
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}: the file is empty") from None
    try:
        top = msgspec.json.decode(mapped, type=_Top)
        images = msgspec.json.decode(top.images, type=list[_Image])
        categories = msgspec.json.decode(top.categories, type=list[_Category])
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: no LVIS annotations: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: broken or cut off: {error}") from None
    if isinstance(top.annotations, msgspec.UnsetType):
        raise UserError(f"{path}: has no annotations, so nothing can be compared with it")
    span = np.frombuffer(memoryview(top.annotations), np.uint8)
    start = span.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    if bytes(span[:1]) != b"[":
        raise UserError(f"{path}: annotations is no list")
    return _Head(images, categories, JsonArray(path, start + 1, start + len(span) - 1))


def _require_unique(ids: np.ndarray, *, path: Path, what: str) -> None:
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise UserError(f"{path}: {what} id {twice[0]} stands there twice")


def _frequency(category: _Category, path: Path) -> str:
    if category.frequency is None:
        return ""
    if category.frequency not in ("r", "c", "f"):
        raise UserError(
            f"{path}: category {category.id}: frequency {category.frequency!r}, not r, c or f"
        )
    return category.frequency


def _lists(lists: Sequence[list[int] | None], category_ids: np.ndarray) -> Lists:
    counts = [len(one) if one else 0 for one in lists]
    images = np.repeat(np.arange(len(lists)), counts)
    ids = np.array([category for one in lists if one for category in one], np.int64)
    rows = rows_of(ids, category_ids)
    return Lists(images[rows >= 0], rows[rows >= 0])


def rows_of(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows (N,) of ``ids`` in ascending ``known``; -1 where it is not there."""
    if not len(known):
        return np.full(len(ids), -1, np.int64)
    rows = np.searchsorted(known, ids).clip(0, len(known) - 1)
    return np.where(known[rows] == ids, rows, -1)


def _warnings(
    images: Sequence[_Image], categories: Sequence[_Category], annotations: Annotations
) -> tuple[str, ...]:
    found = []
    bare = sum(i.neg_category_ids is None or i.not_exhaustive_category_ids is None for i in images)
    if bare:
        found.append(f"{bare} images of the truth have no federated lists; they count as empty")
    if any(category.frequency is None for category in categories):
        found.append("categories without frequency: they are in none of APr, APc, APf")
    if np.any(annotations.ids == 0):
        found.append(
            "annotation id 0: lvis-api takes a detection matched to it for unmatched, and so do we"
        )
    flat = int(np.count_nonzero(~(annotations.areas > 0)))
    if flat:
        found.append(f"{flat} annotations of the truth have no area; lvis-api ignores them")
    return tuple(found)


class _AnnotationReader:
    """Reads annotation records against the images and categories of the file."""

    def __init__(
        self,
        path: Path,
        image_ids: np.ndarray,
        category_ids: np.ndarray,
        heights: np.ndarray,
        widths: np.ndarray,
        masks: bool,
    ) -> None:
        self.path, self.masks = path, masks
        self.image_ids, self.category_ids = image_ids, category_ids
        self.heights, self.widths = heights, widths

    def read(self, array: JsonArray, *, threads: int) -> Annotations:
        """All annotations of the file in its order."""
        try:
            parts = list(map_sections(array, self._convert, threads=threads, masks=self.masks))
        except Unsplittable:
            parts = list(map_sections(array, self._convert, threads=1, whole=True))
        parts = parts or [self._convert(Records(*(np.zeros(0, t) for t in _EMPTY_TYPES)))]
        whole = Annotations(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        _require_unique(np.sort(whole.ids), path=self.path, what="annotation")
        return whole

    def _convert(self, found: Records) -> Annotations:
        records = found.records
        self._require(records)
        images = rows_of(records["image_id"], self.image_ids)
        categories = rows_of(records["category_id"], self.category_ids)
        for rows, what in ((images, "image_id"), (categories, "category_id")):
            if (rows < 0).any():
                bad = records[int(np.argmax(rows < 0))]
                raise UserError(f"{self.path}: annotation {bad['id']}: no such {what} {bad[what]}")
        masks = rasterise(
            found.text,
            records if self.masks else records[:0],
            found.numbers,
            self.heights[images],
            self.widths[images],
        )
        if masks.code:
            bad = records[masks.place]
            raise UserError(
                f"{self.path}: annotation {bad['id']} (image {bad['image_id']}): "
                f"{_MASK_COMPLAINTS[masks.code]}"
            )
        n = len(records)
        return Annotations(
            ids=records["id"].copy(),
            images=images,
            categories=categories,
            areas=records["area"].copy(),
            boxes=np.stack([records[k] for k in ("x", "y", "width", "height")], axis=1),
            ignored=records["ignore"] != 0,
            span_counts=masks.counts if self.masks else np.zeros(n, np.int64),
            span_starts=masks.starts,
            span_stops=masks.stops,
            mask_areas=masks.areas if self.masks else np.zeros(n, np.int64),
            mask_boxes=masks.boxes if self.masks else np.zeros((n, 4), np.int32),
        )

    def _require(self, records: np.ndarray) -> None:
        wanted = {
            "image_id": scan.HAS_IMAGE,
            "category_id": scan.HAS_CATEGORY,
            "id": scan.HAS_ID,
            "area": scan.HAS_AREA,
            "bbox": scan.HAS_BOX,
        }
        for name, bit in wanted.items():
            missing = (records["has"] & bit) == 0
            if missing.any():
                bad = records[int(np.argmax(missing))]
                known = f" {bad['id']}" if bad["has"] & scan.HAS_ID else ""
                raise UserError(f"{self.path}: annotation{known}: no {name}")


_EMPTY_TYPES = (np.uint8, scan.RECORD, np.float64)
_MASK_COMPLAINTS = {
    BAD_COUNTS: "its RLE does not fill the image",
    BAD_POLYGON: "a polygon with fewer than three points, an odd number of coordinates, or "
    "coordinates far outside; or no mask",
}
