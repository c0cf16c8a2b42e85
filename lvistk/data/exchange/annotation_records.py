"""A detection store as the records of an LVIS annotation file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lvistk.data.index.lvis_json import AnnotationFile, CategoryRecord, ImageRecord
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.json_input.text import json_text
from lvistk.masks import rle
from lvistk.structures.categories import Categories

WRITTEN = frozenset(("id", "image_id", "category_id", "bbox", "area", "segmentation", "score"))
"""Keys of an annotation that a store tells; the others come from the annotation file."""


def annotation_records(
    store: DetectionStore, annotations: Path | None, *, min_score: float
) -> Iterator[dict[str, Any]]:
    """Each detection of at least ``min_score`` as an annotation with RLE, area and ``score``; ids from 1.

    A detection without a mask becomes its rectangle. Where the store was made of the annotation file
    ``annotations``, ids and further keys (attributes, iscrowd, ...) are those of the file.
    """
    further = _further_keys(annotations)
    number = 0
    for stored in store:
        image = stored.select(stored.scores >= min_score)
        areas = rle.areas(image.masks, image.size) if image.masks is not None else None
        given = image.annotation_ids if annotations is not None else None
        ids = store.category_ids[image.labels]
        for k, (x0, y0, x1, y1) in enumerate(image.boxes.astype(np.float64).tolist()):
            number += 1
            if image.masks is None or areas is None:
                area = (x1 - x0) * (y1 - y0)
                segmentation: Any = [[x0, y0, x1, y0, x1, y1, x0, y1]]
            else:
                area = int(areas[k])
                counts = image.masks[k].decode("ascii")
                segmentation = {"size": list(image.size), "counts": counts}
            own = number if given is None else int(given[k])
            yield {
                "id": own,
                "image_id": image.image_id,
                "category_id": int(ids[k]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": area,
                "segmentation": segmentation,
                "score": float(image.scores[k]),
                **(further.get(own, {}) if given is not None else {}),
            }


def _further_keys(path: Path | None) -> dict[int, dict[str, Any]]:
    """The keys of each annotation that lvistk does not write itself, by annotation id."""
    further: dict[int, dict[str, Any]] = {}
    if path is None:
        return further
    for raw in _as_written(path).annotations or ():
        record = msgspec.json.decode(raw)
        if isinstance(record, dict) and isinstance(record.get("id"), int):
            keys = {name: value for name, value in record.items() if name not in WRITTEN}
            further[record["id"]] = keys
    return further


class _Written(msgspec.Struct):
    images: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    annotations: list[msgspec.Raw] | None = None


def _as_written(path: Path) -> _Written:
    """The lists of a file with all keys of their records, also those that lvistk does not know."""
    AnnotationFile(path)  # a file that is none is told there
    return msgspec.json.decode(json_text(path).data, type=_Written)


def image_records(
    store: DetectionStore, annotations: Path | None
) -> Iterator[ImageRecord | dict[str, Any]]:
    """The images of a store, as ``annotations`` writes them, else under the store's own names."""
    known: dict[int, dict[str, Any]] = {}
    if annotations is not None:
        known = {record.get("id", -1): record for record in _as_written(annotations).images}
    for row, image in enumerate(store):
        name = store.name(row)
        if image.image_id in known:
            yield known[image.image_id]
        elif name:
            yield ImageRecord(image.image_id, *image.size, file_name=name)
        else:
            raise UserError(
                f"{store.path}: image {image.image_id} has no name here; give --annotations with "
                "the file that lists it"
            )


def category_records(
    store: DetectionStore, annotations: Path | None
) -> list[CategoryRecord] | list[dict[str, Any]]:
    """The categories of a store in label order, as ``annotations`` writes them, or ``category ID``."""
    if annotations is None:
        return [CategoryRecord(int(n), f"category {n}") for n in store.category_ids]
    known = {record.get("id", -1): record for record in _as_written(annotations).categories}
    unknown = [int(number) for number in store.category_ids if int(number) not in known]
    if unknown:
        raise UserError(f"{annotations}: no category {unknown[0]}, which {store.path} has")
    return [known[int(number)] for number in store.category_ids]


def category_table(categories: Categories) -> list[dict[str, Any]]:
    """The categories of a model as an annotation file lists them."""
    rows = zip(
        categories.ids.tolist(), categories.names, categories.frequency.tolist(), strict=True
    )
    return [
        {"id": number, "name": name} | ({"frequency": letter} if letter else {})
        for number, name, letter in rows
    ]
