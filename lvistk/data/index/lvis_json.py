"""LVIS annotation and results JSON: typed records, read one by one from mapped bytes.

LVIS v1 and v0.5 and COCO files that keep their keys. Boxes are xywh here and only here. Records in the usual
form are decoded as they are, others through ``json_input``: null for absent, 1.0 for 1, false for 0. A file
that is no JSON is a ``UserError``; a single record that does not fit is a ``Broken``, so that the caller
decides between refusing and leaving it out.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from lvistk.data.images.image_files import display_name
from lvistk.errors import UserError
from lvistk.json_input.faults import JSON_ERRORS, json_fault, plain_message
from lvistk.json_input.image_names import NamedImages
from lvistk.json_input.mend import id_of_digits, mend_record
from lvistk.json_input.segmentation import Unfit, short
from lvistk.json_input.text import json_text
from lvistk.structures.categories import FREQUENCIES, Categories

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Side = Annotated[int, msgspec.Meta(ge=1, le=2**30)]
Record = TypeVar("Record")
FIRST_BYTES = 1 << 14
"""Bytes in which a file shows what it is, and its annotations which fields they have."""


class RleRecord(msgspec.Struct):
    """A mask as COCO's RLE: ``size`` (height, width); ``counts`` compressed text or plain runs."""

    size: tuple[Side, Side]
    counts: str | list[Annotated[int, msgspec.Meta(ge=0, le=2**31)]]


def _no_ids() -> list[int]:
    """An empty list that ``omit_defaults`` does not leave out; the official code needs the key."""
    return []


class ImageRecord(msgspec.Struct, omit_defaults=True):
    """One image. v1 names it by ``coco_url`` only, v0.5 and COCO by ``file_name``."""

    id: Id
    height: Side
    width: Side
    file_name: str = ""
    coco_url: str = ""
    flickr_url: str = ""
    neg_category_ids: list[Id] = msgspec.field(default_factory=_no_ids)
    not_exhaustive_category_ids: list[Id] = msgspec.field(default_factory=_no_ids)

    @property
    def name(self) -> str:
        """How the image is called, see ``image_files.display_name``; '' where it has no name."""
        return display_name(self.file_name, self.coco_url)


class AnnotationRecord(msgspec.Struct, omit_defaults=True):
    """One instance; the segmentation stays JSON bytes until somebody needs it. ``bbox`` is xywh."""

    id: Id
    image_id: Id
    category_id: Id
    segmentation: msgspec.Raw
    bbox: tuple[float, float, float, float] | None = None
    area: float | None = None
    iscrowd: int = 0
    score: float | None = None
    """Of annotations that were detections; LVIS files have none."""


class CategoryRecord(msgspec.Struct):
    id: Id
    name: str = ""
    frequency: str = ""
    image_count: int = 0
    instance_count: int = 0
    synset: str = ""
    synonyms: list[str] = []
    definition: str = msgspec.field(default="", name="def")


class ResultRecord(msgspec.Struct):
    """One detection of a results file; the segmentation stays JSON bytes until somebody needs it."""

    image_id: Id
    category_id: Id
    score: float
    bbox: tuple[float, float, float, float] | None = None
    segmentation: msgspec.Raw = msgspec.Raw()


class Broken(NamedTuple):
    """A record that does not fit its type.

    position: number in the list, from 0
    id, image_id, category_id: None where it has none
    reason: what does not fit
    """

    position: int
    id: int | None
    reason: str
    image_id: int | None = None
    category_id: int | None = None


class _Sections(msgspec.Struct):
    """Top level lists; empty bytes where one is not there."""

    images: msgspec.Raw = msgspec.Raw()
    categories: msgspec.Raw = msgspec.Raw()
    annotations: msgspec.Raw = msgspec.Raw()


class _OnlyId(msgspec.Struct):
    id: Id


class _OnlyImage(msgspec.Struct):
    image_id: Id


class _OnlyCategory(msgspec.Struct):
    category_id: Id


class AnnotationFile:
    """A mapped annotation JSON, checked to be whole; its records are decoded when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sections = _decode(json_text(path).data, _Sections, path=path)
        if _is_absent(self._sections.images):
            raise UserError(f"{path}: no 'images' list: not an LVIS annotation file")
        if self.mentions('"caption"') and not self.mentions('"segmentation"'):
            raise UserError(f"{path}: a captions file; give the file of instances")
        if _is_absent(self._sections.categories):
            raise UserError(f"{path}: no 'categories' list: not an LVIS annotation file")

    def images(self) -> Iterator[ImageRecord | Broken]:
        return self._records("images", ImageRecord)

    def annotations(self) -> Iterator[AnnotationRecord | Broken]:
        """None at all where the file lists images only, as LVIS test-dev does."""
        return self._records("annotations", AnnotationRecord)

    def categories(self) -> list[CategoryRecord]:
        """A category that does not fit is a ``UserError``: every label depends on it."""
        return _strict_categories(self._records("categories", CategoryRecord), self.path)

    def mentions(self, text: str) -> bool:
        """Whether the first annotations hold ``text``, such as the name of a field."""
        return text.encode() in bytes(memoryview(self._sections.annotations)[:FIRST_BYTES])

    def _records(self, section: str, kind: type[Record]) -> Iterator[Record | Broken]:
        raw = getattr(self._sections, section)
        if _is_absent(raw):
            return iter(())
        items = _decode(raw, list[msgspec.Raw], path=self.path, section=section)
        return _typed(items, kind)


def read_categories(path: Path) -> Categories:
    """Categories of an annotation file, or of a JSON list of categories.

    The counts are the file's own fields, 0 where it has none; training counts its annotations instead
    (ours). Raises ``UserError`` for a broken file and for an id used twice.
    """
    return categories_of(read_category_records(path), path)


def read_category_records(path: Path) -> list[CategoryRecord]:
    """Categories as ``read_categories`` takes them, in the order of the file, with their synonyms."""
    if is_results_file(path):
        items = _decode(json_text(path).data, list[msgspec.Raw], path=path)
        return _strict_categories(_typed(items, CategoryRecord), path)
    return AnnotationFile(path).categories()


def categories_of(records: Sequence[CategoryRecord], path: Path) -> Categories:
    """Records in label order (ascending id); an id used twice is a ``UserError`` naming ``path``."""
    ordered = sorted(records, key=lambda record: record.id)
    ids = np.array([record.id for record in ordered], np.int64)
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise UserError(f"{path}: category id {twice[0]} is used twice; give each its own id")
    return Categories(
        ids=ids,
        names=tuple(record.name for record in ordered),
        frequency=np.array([r.frequency for r in ordered], dtype="<U1"),
        image_count=np.array([r.image_count for r in ordered], np.int64),
        instance_count=np.array([r.instance_count for r in ordered], np.int64),
    )


def is_results_file(path: Path) -> bool:
    """Whether a JSON is a list, as results are, and not an annotation file."""
    return bytes(json_text(path).data[:FIRST_BYTES]).lstrip()[:1] == b"["


def read_results(path: Path, *, images: NamedImages) -> Iterator[ResultRecord]:
    """The detections of a results file, one by one; one that does not fit is a ``UserError``.

    path: the results
    images: the images that they may name by text instead of id
    """
    items = _decode(json_text(path).data, list[msgspec.Raw], path=path)
    for record in _typed(items, ResultRecord, images):
        if isinstance(record, Broken):
            raise UserError(f"{path}: result {record.position}: {record.reason}")
        yield record


def _decode(data: Any, kind: type[Record], *, path: Path, section: str = "") -> Record:
    """``data`` as ``kind``. Raises ``UserError`` naming ``path``, and ``section`` of the file."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        reason = plain_message(error)
        what = f"'{section}': {reason}" if section else f"not an LVIS annotation file: {reason}"
        raise UserError(f"{path}: {what}") from None
    except JSON_ERRORS as error:
        raise UserError(f"{path}: {json_fault(data, error)}") from None


def _is_absent(section: msgspec.Raw) -> bool:
    """Whether a list of the file is not there, or null."""
    return bytes(memoryview(section)[:5]) in (b"", b"null")


def _typed(
    items: Sequence[msgspec.Raw], kind: type[Record], images: NamedImages | None = None
) -> Iterator[Record | Broken]:
    decode = msgspec.json.Decoder(kind).decode
    for position, item in enumerate(items):
        try:
            yield decode(item)
        except JSON_ERRORS:
            yield _mended(item, kind, position, images)


def _mended(
    item: msgspec.Raw, kind: type[Record], position: int, images: NamedImages | None
) -> Record | Broken:
    """A record whose values are written differently, as the record that was meant."""
    try:
        record = mend_record(msgspec.json.decode(item))
        if kind is ImageRecord:
            _require_size(record)
        for name in ("id", "image_id", "category_id"):
            if isinstance(record.get(name), str):
                record[name] = _number_of(name, record[name], images)
        return msgspec.json.decode(msgspec.json.encode(record), type=kind)
    except Unfit as error:
        reason = str(error)
    except JSON_ERRORS as error:
        reason = plain_message(error)
    known: dict[str, int] = {}
    for field, type_ in (("id", _OnlyId), ("image_id", _OnlyImage), ("category_id", _OnlyCategory)):
        with suppress(*JSON_ERRORS):
            known[field] = getattr(msgspec.json.decode(item, type=type_), field)
    number = known.pop("id", None)
    return Broken(position, number, reason, **known)


def _require_size(record: dict[str, Any]) -> None:
    for side in ("height", "width"):
        if side not in record:
            raise Unfit(f"it has no {side}; write the image's height and width in pixels")


def _number_of(name: str, text: str, images: NamedImages | None) -> int:
    """An id of results that is text: a number in digits, or an image's name. Annotations have numbers."""
    if images is None:
        raise Unfit(
            f"{name} {short(text)} is text; give whole numbers to images and categories, and use them "
            "in annotations and results"
        )
    number = images.id_of(text) if name == "image_id" else id_of_digits(text)
    if number is None:
        meant = "neither an image's id nor its file name" if name == "image_id" else "no number"
        raise Unfit(f"{name} {short(text)} is {meant}; use the ids of the annotation file")
    return number


def _strict_categories(
    records: Iterable[CategoryRecord | Broken], path: Path
) -> list[CategoryRecord]:
    kept = []
    for record in records:
        if isinstance(record, Broken):
            unnamed = f"number {record.position} of the list"
            which = unnamed if record.id is None else record.id
            raise UserError(f"{path}: category {which}: {record.reason}")
        if record.frequency not in ("", *FREQUENCIES):
            raise UserError(
                f"{path}: category {record.id}: frequency '{record.frequency}' is none of r, c, f"
            )
        record.name = record.name or f"category {record.id}"
        kept.append(record)
    return kept
