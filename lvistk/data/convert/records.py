"""A whole data set as records in memory, while it is converted, merged or split."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from lvistk.data.convert.changes import Changes
from lvistk.data.index.lvis_json import (
    AnnotationRecord,
    CategoryRecord,
    ImageRecord,
)
from lvistk.data.index.lvis_write import write_annotations
from lvistk.masks import rle
from lvistk.masks.polygons import Polygons, tight_boxes
from lvistk.structures.categories import counted_frequency


@dataclass
class Records:
    """Images, annotations and categories, as an LVIS file lists them.

    files: files of the images by image id, as far as they are known
    changes: what was left out and corrected on the way
    """

    images: list[ImageRecord]
    annotations: list[AnnotationRecord]
    categories: list[CategoryRecord]
    files: dict[int, Path] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)


def mark_not_exhaustive(image: ImageRecord, category_ids: Iterable[int]) -> None:
    """Note that ``image`` may have instances of these categories that are not annotated."""
    ids = set(category_ids)
    image.not_exhaustive_category_ids = sorted({*image.not_exhaustive_category_ids, *ids})
    image.neg_category_ids = [n for n in image.neg_category_ids if n not in ids]


def rle_annotation(
    number: int, image: ImageRecord, category_id: int, bitmap: np.ndarray
) -> AnnotationRecord:
    """An annotation from a mask ``bitmap (H, W)`` of the image's size."""
    segmentation = {
        "size": [image.height, image.width],
        "counts": rle.encode(bitmap).decode(),
    }
    return AnnotationRecord(
        id=number,
        image_id=image.id,
        category_id=category_id,
        segmentation=msgspec.Raw(msgspec.json.encode(segmentation)),
    )


def polygon_annotation(
    number: int, image: ImageRecord, category_id: int, parts: Sequence[np.ndarray]
) -> AnnotationRecord:
    """An annotation from polygons ``parts`` (each (V, 2) in pixels): clamped to the image, with its box.

    Coordinates are written to a hundredth of a pixel.
    """
    limit = np.array([image.width, image.height])
    clamped = [np.clip(np.asarray(part, np.float64), 0, limit).round(2) for part in parts]
    x0, y0, x1, y1 = tight_boxes(Polygons.from_lists([clamped]))[0].tolist()
    return AnnotationRecord(
        id=number,
        image_id=image.id,
        category_id=category_id,
        bbox=(round(x0, 2), round(y0, 2), round(x1 - x0, 2), round(y1 - y0, 2)),
        segmentation=msgspec.Raw(
            msgspec.json.encode([part.reshape(-1).tolist() for part in clamped])
        ),
    )


def present_categories(records: Records) -> dict[int, set[int]]:
    """Ids of the categories with an annotation, by image id."""
    present: dict[int, set[int]] = defaultdict(set)
    for record in records.annotations:
        present[record.image_id].add(record.category_id)
    return present


def fill_federated_lists(records: Records, *, exhaustive: bool) -> None:
    """Set the lists of every image of a data set that has none.

    Where all instances of all categories are annotated (``exhaustive``), every absent category is
    negative; else nothing is known to be absent, and every present category may miss instances. Categories
    that an image already lists as not exhaustive (crowds) stay so and are not negative.
    """
    ids = {category.id for category in records.categories}
    present = present_categories(records)
    for image in records.images:
        incomplete = set(image.not_exhaustive_category_ids)
        here = present.get(image.id, set())
        if exhaustive:
            image.neg_category_ids = sorted(ids - here - incomplete)
        else:
            image.not_exhaustive_category_ids = sorted(incomplete | here)


def count_categories(records: Records, *, frequency: Literal["count", "keep"]) -> None:
    """Set image and instance counts, and the frequency group by the number of images.

    ``keep`` leaves the groups that the file gives. A category without an image is rare.
    """
    instances = Counter(record.category_id for record in records.annotations)
    images = Counter(n for here in present_categories(records).values() for n in here)
    for category in records.categories:
        category.instance_count = instances[category.id]
        category.image_count = images[category.id]
        if frequency == "count" or not category.frequency:
            category.frequency = counted_frequency(category.image_count) or "r"


def write_records(records: Records, path: Path, *, info: str) -> None:
    """``records`` as an LVIS annotation file."""
    write_annotations(
        path,
        images=records.images,
        annotations=records.annotations,
        categories=records.categories,
        info=info,
    )
