"""Several data sets as one: categories meet by name, images by path."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from lvistk.data.convert.records import Records, present_categories
from lvistk.data.index.lvis_json import CategoryRecord, ImageRecord
from lvistk.errors import UserError


def merge(parts: Sequence[tuple[Path, Records]]) -> Records:
    """One data set. Ids stay where they are free, and are given anew where they are taken.

    Categories of one name are one. An image in several files keeps the annotations of all; then what
    one file verified absent is negative unless another has it, and not exhaustive adds up. Annotations are
    numbered anew; every annotation's image and category must be there. Raises ``UserError`` where
    one image has two sizes.
    """
    merged = Records([], [], [])
    categories: dict[str, CategoryRecord] = {}
    images: dict[str, ImageRecord] = {}
    for path, records in parts:
        category_ids = _take_categories(categories, records.categories)
        image_ids = _take_images(images, records.images, category_ids, path)
        for annotation in records.annotations:
            merged.annotations.append(
                msgspec.structs.replace(
                    annotation,
                    id=len(merged.annotations) + 1,
                    image_id=image_ids[annotation.image_id],
                    category_id=category_ids[annotation.category_id],
                )
            )
    merged.images, merged.categories = list(images.values()), list(categories.values())
    present = present_categories(merged)
    for image in merged.images:
        absent = set(image.neg_category_ids) - present.get(image.id, set())
        image.neg_category_ids = sorted(absent - set(image.not_exhaustive_category_ids))
    return merged


def _take_categories(
    known: dict[str, CategoryRecord], records: Sequence[CategoryRecord]
) -> dict[int, int]:
    """Add ``records`` to those ``known`` by name; new id by old id."""
    taken = {record.id for record in known.values()}
    ids: dict[int, int] = {}
    for record in records:
        if record.name not in known:
            number = record.id if record.id not in taken else max(taken) + 1
            taken.add(number)
            known[record.name] = msgspec.structs.replace(record, id=number)
        ids[record.id] = known[record.name].id
    return ids


def _take_images(
    known: dict[str, ImageRecord],
    records: Sequence[ImageRecord],
    category_ids: dict[int, int],
    path: Path,
) -> dict[int, int]:
    taken = {record.id for record in known.values()}
    ids: dict[int, int] = {}
    for record in records:
        negative = [category_ids[n] for n in record.neg_category_ids if n in category_ids]
        incomplete = [
            category_ids[n] for n in record.not_exhaustive_category_ids if n in category_ids
        ]
        old = known.get(record.name)
        if old is None:
            number = record.id if record.id not in taken else max(taken) + 1
            taken.add(number)
            old = known[record.name] = msgspec.structs.replace(
                record, id=number, neg_category_ids=[], not_exhaustive_category_ids=[]
            )
        elif (old.height, old.width) != (record.height, record.width):
            raise UserError(
                f"{path}: image {record.name} is {record.width} x {record.height}, elsewhere "
                f"{old.width} x {old.height}; images of one path must be one image"
            )
        old.neg_category_ids = sorted({*old.neg_category_ids, *negative})
        old.not_exhaustive_category_ids = sorted({*old.not_exhaustive_category_ids, *incomplete})
        ids[record.id] = old.id
    return ids
