"""What an index is built from: annotation files, and detection stores taken for annotations."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from lvistk.data.index.annotation_chunk import AnnotationChunk, Masks, Rle, chunk_of
from lvistk.data.index.lvis_json import AnnotationFile, Broken, CategoryRecord, ImageRecord
from lvistk.data.store.detection_store import DetectionStore, is_detection_store
from lvistk.errors import UserError
from lvistk.masks.polygons import Polygons, rectangles, starts
from lvistk.structures.detections import Detections

CHUNK = 4096
"""Annotations looked at together."""


class ReadChunk(NamedTuple):
    """Annotations that could be read, and the records that could not."""

    sound: AnnotationChunk
    broken: list[Broken]


class Source(Protocol):
    """Images, categories and annotations of one file or store."""

    path: Path

    def categories(self) -> list[CategoryRecord]: ...

    def images(self) -> Iterator[ImageRecord | Broken]: ...

    def chunks(self) -> Iterator[ReadChunk]: ...


def open_source(path: Path) -> Source:
    """An annotation JSON, or a detection store where ``path`` is one."""
    return StoreSource(path) if is_detection_store(path) else JsonSource(path)


class JsonSource:
    """An LVIS annotation file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = AnnotationFile(path)

    def categories(self) -> list[CategoryRecord]:
        return self._file.categories()

    def images(self) -> Iterator[ImageRecord | Broken]:
        return self._file.images()

    def chunks(self) -> Iterator[ReadChunk]:
        records = self._file.annotations()
        while batch := list(islice(records, CHUNK)):
            broken = [record for record in batch if isinstance(record, Broken)]
            sound = [record for record in batch if not isinstance(record, Broken)]
            yield ReadChunk(chunk_of(sound), broken)


class StoreSource:
    """A detection store, every detection an annotation; ids run from 1.

    Its category names are unknown: '' where no annotation file beside it names them. An image that
    has to be turned is a ``UserError``, because annotations lie on images as they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = DetectionStore.open(path)

    def categories(self) -> list[CategoryRecord]:
        return [CategoryRecord(int(number), "") for number in self._store.category_ids]

    def images(self) -> Iterator[ImageRecord | Broken]:
        for row, image in enumerate(self._store):
            name = self._store.name(row)
            if self._store.rotation(row):
                raise UserError(
                    f"{self.path}: image {name or image.image_id} has to be turned; turn the file "
                    "itself, or give the store as --pseudo"
                )
            called = name or f"image {image.image_id}"  # stores need no names
            yield ImageRecord(image.image_id, *image.size, file_name=called)

    def chunks(self) -> Iterator[ReadChunk]:
        first = 1
        for image in self._store:
            if len(image):
                yield ReadChunk(_chunk(image, self._store.category_ids, first), [])
                first += len(image)


def _chunk(image: Detections, category_ids: np.ndarray, first: int) -> AnnotationChunk:
    count = len(image)
    return AnnotationChunk(
        ids=np.arange(first, first + count),
        image_ids=np.full(count, image.image_id),
        category_ids=category_ids[image.labels],
        boxes=image.boxes.astype(np.float64),
        areas=np.full(count, np.nan),
        crowd=np.zeros(count, bool),
        masks=_masks(image),
    )


def _masks(image: Detections) -> Masks:
    """The masks, or the boxes as rectangles in a store of boxes."""
    count = len(image)
    if image.masks is not None:
        none = Polygons(np.zeros((0, 2), np.float32), starts([]), starts([0] * count))
        return Masks(none, [Rle(image.size, counts) for counts in image.masks], {})
    return Masks(rectangles(image.boxes), [None] * count, {})
