"""Several data sets as one: categories meet by name, images when they are the same file."""

import filecmp
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lvistk.data.convert.records import Records, present_categories
from lvistk.data.images.image_files import image_key
from lvistk.data.index.lvis_json import CategoryRecord, ImageRecord
from lvistk.errors import UserError


def add_prefix(records: Records, prefix: str) -> None:
    """Put the folder ``prefix`` before the name of every image, so that it is another source's no more."""
    for image in records.images:
        image.file_name = f"{prefix.rstrip('/')}/{image.name}"
        image.coco_url = image.flickr_url = ""


def merge(parts: Sequence[tuple[Path, Records]]) -> Records:
    """One data set of one or several. Ids that are free stay, others are given anew.

    Categories of one name are one. Images of one name are one, unless sizes, addresses or files show that
    they are different. An image keeps the annotations of all; then what one file verified absent is negative
    unless another has it, and not exhaustive adds up. Annotations of several files are numbered anew; every
    annotation's image and category must be there. Raises ``UserError`` for different images of one name.
    """
    merged = Records([], [], [])
    categories: dict[str, CategoryRecord] = {}
    images: dict[str, _Image] = {}
    for path, records in parts:
        category_ids = _take_categories(categories, records)
        image_ids = _take_images(images, records, category_ids, path)
        for annotation in records.annotations:
            number = len(merged.annotations) + 1 if len(parts) > 1 else annotation.id
            merged.annotations.append(
                msgspec.structs.replace(
                    annotation,
                    id=number,
                    image_id=image_ids[annotation.image_id],
                    category_id=category_ids[annotation.category_id],
                )
            )
    merged.images = [image.record for image in images.values()]
    merged.categories = list(categories.values())
    present = present_categories(merged)
    for image in merged.images:
        absent = set(image.neg_category_ids) - present.get(image.id, set())
        image.neg_category_ids = sorted(absent - set(image.not_exhaustive_category_ids))
    return merged


def _take_categories(known: dict[str, CategoryRecord], records: Records) -> dict[int, int]:
    """Add the categories to those ``known`` by name; new id by old id.

    Of several categories of one name in one source, the one with the most annotations gives the id.
    """
    counts = Counter(annotation.category_id for annotation in records.annotations)
    same: dict[str, list[CategoryRecord]] = defaultdict(list)
    for record in records.categories:
        same[record.name].append(record)
    taken = {record.id for record in known.values()}
    ids: dict[int, int] = {}
    for name, group in same.items():
        if len(group) > 1:
            shown = ", ".join(str(record.id) for record in group)
            records.changes.correct("categories of one name, made one", f"'{name}' {shown}")
        record = max(group, key=lambda one: counts[one.id])
        if name not in known:
            number = record.id if record.id not in taken else max(taken) + 1
            taken.add(number)
            known[name] = msgspec.structs.replace(record, id=number)
        ids |= {one.id: known[name].id for one in group}
    return ids


@dataclass(eq=False)
class _Image:
    """An image of the merged data set: its record, file where it is known, and source."""

    record: ImageRecord
    file: Path | None
    url: str
    path: Path


def _take_images(
    known: dict[str, _Image], records: Records, category_ids: dict[int, int], path: Path
) -> dict[int, int]:
    """Add the images to those ``known`` by name; new id by old id."""
    taken = {image.record.id for image in known.values()}
    ids: dict[int, int] = {}
    for record in records.images:
        negative = {category_ids[n] for n in record.neg_category_ids}
        incomplete = {category_ids[n] for n in record.not_exhaustive_category_ids}
        key, file = image_key(record.name), records.files.get(record.id)
        url = record.coco_url if record.name != record.file_name else ""
        old = known.get(key)
        if old is None:
            number = record.id if record.id not in taken else max(taken) + 1
            taken.add(number)
            new = msgspec.structs.replace(
                record, id=number, neg_category_ids=[], not_exhaustive_category_ids=[]
            )
            old = known[key] = _Image(new, file, url, path)
        else:
            _require_same(old, record, file=file, url=url, path=path)
            kind = "images listed twice" if old.path == path else "images of several sources"
            records.changes.correct(f"{kind}, made one", record.name)
        lists = old.record
        lists.neg_category_ids = sorted({*lists.neg_category_ids, *negative})
        lists.not_exhaustive_category_ids = sorted(
            {*lists.not_exhaustive_category_ids, *incomplete}
        )
        ids[record.id] = lists.id
    return ids


def _require_same(
    old: _Image, record: ImageRecord, *, file: Path | None, url: str, path: Path
) -> None:
    """Raise ``UserError`` where two records of one name are of different images."""
    mend = "if they are different images, give each source its own --prefix"
    if (old.record.height, old.record.width) != (record.height, record.width):
        raise UserError(
            f"{path}: image {record.name} is {record.width} x {record.height}, elsewhere "
            f"{old.record.width} x {old.record.height} ({old.path}); {mend}"
        )
    if url and old.url and image_key(url) != image_key(old.url):
        raise UserError(
            f"{path}: image {record.name} comes from {url}, elsewhere from {old.url}; {mend}"
        )
    if file is None or old.file is None or file == old.file:
        return
    if file.is_file() and old.file.is_file() and not filecmp.cmp(file, old.file, shallow=False):
        raise UserError(
            f"{path}: image {record.name} is {file}, elsewhere {old.file}, which is another image; "
            "give each source its own --prefix"
        )
