"""What an index is built from: annotation files, and detection stores taken for annotations."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from lvistk.data.index.instances import Instances, Masks, Rle, instances_of
from lvistk.data.index.lvis_json import AnnotationFile, Broken, CategoryRecord, ImageRecord
from lvistk.data.store.detection_store import DetectionStore, is_detection_store
from lvistk.errors import UserError
from lvistk.masks.polygons import Polygons, starts
from lvistk.structures.detections import Detections

CHUNK = 4096
"""Annotations looked at together."""


class Chunk(NamedTuple):
    """Annotations that could be read, and the records that could not."""

    instances: Instances
    broken: list[Broken]


class Source(Protocol):
    """Photos, categories and annotations of one file or store."""

    path: Path

    def categories(self) -> list[CategoryRecord]: ...

    def images(self) -> Iterator[ImageRecord | Broken]: ...

    def chunks(self) -> Iterator[Chunk]: ...


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

    def chunks(self) -> Iterator[Chunk]:
        records = self._file.annotations()
        while batch := list(islice(records, CHUNK)):
            broken = [record for record in batch if isinstance(record, Broken)]
            sound = [record for record in batch if not isinstance(record, Broken)]
            yield Chunk(instances_of(sound), broken)


class StoreSource:
    """A detection store, every detection an annotation; ids run from 1.

    Its category names are unknown: '' where no annotation file beside it names them. A photo that
    has to be turned is a ``UserError``, because annotations lie on photos as they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = DetectionStore.open(path)

    def categories(self) -> list[CategoryRecord]:
        return [CategoryRecord(int(number), "") for number in self._store.category_ids]

    def images(self) -> Iterator[ImageRecord | Broken]:
        for row, photo in enumerate(self._store):
            name = self._store.name(row)
            if self._store.rotation(row):
                raise UserError(
                    f"{self.path}: photo {name or photo.image_id} has to be turned; turn the file "
                    "itself, or give the store as --pseudo"
                )
            yield ImageRecord(photo.image_id, *photo.size, file_name=name)

    def chunks(self) -> Iterator[Chunk]:
        first = 1
        for photo in self._store:
            if len(photo):
                yield Chunk(_instances(photo, self._store.category_ids, first), [])
                first += len(photo)


def _instances(photo: Detections, category_ids: np.ndarray, first: int) -> Instances:
    count = len(photo)
    return Instances(
        ids=np.arange(first, first + count),
        image_ids=np.full(count, photo.image_id),
        category_ids=category_ids[photo.labels],
        boxes=photo.boxes.astype(np.float64),
        areas=np.full(count, np.nan),
        crowd=np.zeros(count, bool),
        masks=_masks(photo),
    )


def _masks(photo: Detections) -> Masks:
    """The masks, or the boxes as rectangles in a store of boxes."""
    count = len(photo)
    if photo.masks is not None:
        none = Polygons(np.zeros((0, 2), np.float32), starts([]), starts([0] * count))
        return Masks(none, [Rle(photo.size, counts) for counts in photo.masks], {})
    corners = photo.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2).astype(np.float32)
    rectangles = Polygons(corners, 4 * np.arange(count + 1), np.arange(count + 1))
    return Masks(rectangles, [None] * count, {})
