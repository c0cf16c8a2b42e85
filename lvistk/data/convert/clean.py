"""Records as a converted file may hold them: checked as the index does, mended where they can be.

What is left out makes its category not exhaustive in its image: left out is not absent.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from lvistk.data.convert.records import Records, mark_not_exhaustive
from lvistk.data.index.annotation_checks import check_annotations
from lvistk.data.index.annotation_chunk import AnnotationChunk, chunk_of
from lvistk.data.index.defects import CORRECTIONS
from lvistk.data.index.lvis_json import AnnotationRecord, ImageRecord, categories_of
from lvistk.structures.categories import Categories

CHUNK = 4096
"""Annotations checked together."""
BOX_KINDS = {"degenerate_box", "box_outside", "box_far"}
AREA_WRONG = f"area_wrong, {CORRECTIONS['area_wrong']}"
WRONG_AREAS = 0.1
"""Share of a source's areas above which all are computed: a wrong one of few pixels cannot be told."""


def clean(records: Records, source: Path) -> None:
    """Leave out and mend what the index would; every annotation gets an id of its own, a box and an area.

    ``records.changes`` says what was done. ``source`` is named in errors.
    """
    _clean_images(records)
    by_id = {image.id: image for image in records.images}
    categories = categories_of(records.categories, source)
    remaining, records.annotations = iter(records.annotations), []
    areas: list[float] = []
    while batch := list(islice(remaining, CHUNK)):
        for record, area in _sound(batch, records, by_id, categories):
            records.annotations.append(record)
            areas.append(area)
    _correct_areas(records, areas)
    _renumber(records)


def _clean_images(records: Records) -> None:
    """Images with a name and an id of their own; the first of those that share an id."""
    kept: dict[int, ImageRecord] = {}
    known = {category.id for category in records.categories}
    for image in records.images:
        if image.id in kept:
            records.changes.leave_out("images whose id an earlier image has", image.id)
        elif not image.name:
            records.changes.leave_out("images without coco_url and file_name", image.id)
        else:
            kept[image.id] = image
        image.neg_category_ids = [n for n in image.neg_category_ids if n in known]
        listed = image.not_exhaustive_category_ids
        image.not_exhaustive_category_ids = [n for n in listed if n in known]
    records.images = list(kept.values())


def _sound(
    batch: list[AnnotationRecord],
    records: Records,
    by_id: dict[int, ImageRecord],
    categories: Categories,
) -> Iterator[tuple[AnnotationRecord, float]]:
    """The annotations of a batch that can be used, mended, with the areas of their masks."""
    chunk = chunk_of(batch)
    chunk.ids = np.arange(
        len(batch)
    )  # so that a defect names its record, whatever ids are repeated
    given = chunk.boxes.copy()
    images = [by_id.get(record.image_id) for record in batch]
    sizes = np.array([(i.height, i.width) if i else (0, 0) for i in images], np.int32)
    labels = categories.labels(chunk.category_ids)
    checked = check_annotations(chunk, source=0, sizes=sizes.reshape(-1, 2), labels=labels)
    kinds: list[set[str]] = [set() for _ in batch]
    for defect in checked.defects:
        assert defect.id is not None
        kinds[defect.id].add(defect.kind)
        if defect.corrected:
            kind = f"{defect.kind}, {CORRECTIONS[defect.kind]}"
            records.changes.correct(kind, batch[defect.id].id)
        else:
            records.changes.leave_out(defect.kind, batch[defect.id].id)
    for number, (record, image) in enumerate(zip(batch, images, strict=True)):
        if checked.sound[number]:
            if kinds[number] & BOX_KINDS or np.isnan(given[number]).any():
                x0, y0, x1, y1 = chunk.boxes[number].tolist()
                record.bbox = (round(x0, 2), round(y0, 2), round(x1 - x0, 2), round(y1 - y0, 2))
            area = round(float(chunk.areas[number]), 2)
            if "area_wrong" in kinds[number] or checked.lacking[number]:
                record.area = area
            _rewrite_mask(record, chunk, number)
            yield record, area
        elif image is not None and labels[number] >= 0:
            mark_not_exhaustive(image, [record.category_id])


def _correct_areas(records: Records, areas: list[float]) -> None:
    """Give every annotation the area of its mask where too many areas of the source were wrong."""
    if len(records.changes.corrected.get(AREA_WRONG, [])) <= WRONG_AREAS * len(areas):
        return
    for record, area in zip(records.annotations, areas, strict=True):
        if record.area != area:
            record.area = area
            records.changes.correct(AREA_WRONG, record.id)


def _rewrite_mask(record: AnnotationRecord, chunk: AnnotationChunk, number: int) -> None:
    """COCO's form where the file has another, and no part that is no polygon."""
    masks = chunk.masks
    if number not in masks.dropped and number not in masks.other_form:
        return
    mask = masks.rle[number]
    if mask is not None:
        value: object = {"size": list(mask.size), "counts": mask.counts.decode()}
    else:
        parts = masks.polygons.parts(number)
        value = [part.reshape(-1).astype(np.float64).round(2).tolist() for part in parts]
    record.segmentation = msgspec.Raw(msgspec.json.encode(value))


def _renumber(records: Records) -> None:
    """A new id for each annotation whose id an earlier one has; nothing refers to these ids."""
    free = max((annotation.id for annotation in records.annotations), default=0) + 1
    used: set[int] = set()
    for annotation in records.annotations:
        if annotation.id in used:
            records.changes.correct("annotation ids used twice, numbered anew", annotation.id)
            annotation.id, free = free, free + 1
        used.add(annotation.id)
