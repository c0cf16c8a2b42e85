"""Annotation and results JSON as a detection store."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from lvistk.data.index.annotation_chunk import parse_masks
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.lvis_json import (
    AnnotationFile,
    Broken,
    ImageRecord,
    ResultRecord,
    categories_of,
    read_results,
)
from lvistk.data.index.mask_facts import rle_fault
from lvistk.errors import UserError
from lvistk.json_input.image_names import NamedImages
from lvistk.masks import rle
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections

EMPTY = msgspec.Raw(b"null")
"""The segmentation of a result that has none."""


def scores_of(path: Path) -> dict[int, float]:
    """Scores of the annotations of a file that have one, by annotation id."""
    records = AnnotationFile(path).annotations()
    return {
        record.id: record.score
        for record in records
        if not isinstance(record, Broken) and record.score is not None
    }


def detections_of_index(
    index: AnnotationIndex,
    indices: Sequence[int] | None = None,
    *,
    scores: Mapping[int, float] | None = None,
) -> Iterator[Detections]:
    """The annotations of each image as detections, best first, polygons rasterised as COCO does.

    ``indices`` chooses images; all by default. ``scores`` by annotation id; 1 where there is none.
    """
    known = scores or {}
    for i in range(len(index)) if indices is None else indices:
        annotations = index.annotations(i)
        ids = index.ids(i)
        values = np.array([known.get(n, 1.0) for n in ids.tolist()], np.float32)
        detections = Detections(
            image_id=int(index.image_ids[i]),
            size=index.size(i),
            boxes=annotations.boxes,
            scores=values,
            labels=annotations.labels,
            masks=index.masks(i),
            annotation_ids=np.asarray(ids, np.int64),
        )
        yield detections.select(np.argsort(-values, kind="stable"))


class ReadDetections(NamedTuple):
    """Detections of M images, the images' names, and their label set."""

    categories: Categories
    per_image: list[Detections]
    names: list[str]


def read_detections(results: Path, annotations: Path, *, min_score: float) -> ReadDetections:
    """The results of each image of ``annotations``, best score first; all are held in memory.

    Where some results have a segmentation, the others' masks are the rectangles of their boxes, as in
    lvis-api. Raises ``UserError`` for an image or category that ``annotations`` lacks and for an RLE that
    is none.
    """
    listed = AnnotationFile(annotations)
    categories = categories_of(listed.categories(), annotations)
    images = {r.id: r for r in listed.images() if not isinstance(r, Broken)}
    named = ((r.id, name) for r in images.values() for name in (r.file_name, r.coco_url))
    records = read_results(results, images=NamedImages(named, path=annotations))
    grouped: dict[int, list[tuple[int, ResultRecord]]] = defaultdict(list)
    for number, record in enumerate(records):
        if record.image_id not in images:
            raise UserError(
                f"{results}: result {number}: image {record.image_id} is not in {annotations}"
            )
        if record.score >= min_score:
            grouped[record.image_id].append((number, record))
    per_image = [
        _image(results, image, grouped.get(number, []), categories)
        for number, image in images.items()
    ]
    if any(image.masks is not None for image in per_image if len(image)):
        per_image = [_with_masks(image) for image in per_image]
    return ReadDetections(categories, per_image, [image.name for image in images.values()])


def _with_masks(image: Detections) -> Detections:
    """The detections, with their boxes' rectangles as masks where they have none."""
    if image.masks is not None:
        return image
    masks = [_rectangle(box, image.size) for box in image.boxes]
    return dataclasses.replace(image, masks=masks)


def _rectangle(box: np.ndarray, size: tuple[int, int]) -> bytes:
    """The mask that lvis-api gives a result without segmentation: the rectangle of its ``box`` (4,)."""
    x0, y0, x1, y1 = box.tolist()
    return rle.from_polygons([np.array([x0, y0, x0, y1, x1, y1, x1, y0])], size)


def _image(
    path: Path,
    image: ImageRecord,
    records: list[tuple[int, ResultRecord]],
    categories: Categories,
) -> Detections:
    size = (image.height, image.width)
    if not records:
        return Detections.empty(image.id, size)
    records.sort(key=lambda item: -item[1].score)
    labels = categories.labels([record.category_id for _, record in records])
    for k in np.flatnonzero(labels < 0)[:1]:
        number, record = records[k]
        raise UserError(f"{path}: result {number}: {_unknown(record.category_id, categories)}")
    given = _masks(path, records, size)
    boxes = _boxes(path, records, given, size)
    masks = None
    if any(mask is not None for mask in given):
        masks = [
            _rectangle(box, size) if mask is None else mask
            for mask, box in zip(given, boxes, strict=True)
        ]
    return Detections(
        image_id=image.id,
        size=size,
        boxes=boxes,
        scores=np.array([record.score for _, record in records], np.float32),
        labels=labels.astype(np.int32),
        masks=masks,
    )


def _unknown(category_id: int, categories: Categories) -> str:
    """What is wrong with a category id that the annotation file lacks, and what to do."""
    ids = categories.ids.tolist()
    told = f"category {category_id} is not in the annotation file"
    if ids and category_id == ids[0] - 1:
        return f"{told}, whose ids begin at {ids[0]}; if all are one too low, add 1 to each"
    return f"{told}; give --annotations the file of the results' categories"


def _boxes(
    path: Path,
    records: list[tuple[int, ResultRecord]],
    masks: list[bytes | None],
    size: tuple[int, int],
) -> np.ndarray:
    """Boxes as given, or tight around the masks where a result has none."""
    boxes = np.zeros((len(records), 4), np.float32)
    for k, ((number, record), mask) in enumerate(zip(records, masks, strict=True)):
        if record.bbox is not None:
            x, y, w, h = record.bbox
            boxes[k] = (x, y, x + w, y + h)
        elif mask is not None:
            boxes[k] = rle.boxes([mask], size)[0]
        else:
            raise UserError(f"{path}: result {number} has neither bbox nor segmentation")
    return boxes


def _masks(
    path: Path, records: list[tuple[int, ResultRecord]], size: tuple[int, int]
) -> list[bytes | None]:
    """The masks in any form that tools write them in; None for a result that has none."""
    raws = [record.segmentation or EMPTY for _, record in records]
    parsed = parse_masks(raws)
    masks: list[bytes | None] = []
    for k, (number, _) in enumerate(records):
        coded, parts = parsed.rle[k], parsed.polygons.parts(k)
        if k in parsed.errors:
            why = parsed.errors[k][1]
            raise UserError(f"{path}: result {number}: its mask cannot be decoded: {why}")
        if coded is not None and (fault := rle_fault(coded, np.array(size))):
            raise UserError(f"{path}: result {number}: {fault}")
        if coded is not None:
            masks.append(coded.counts)
        else:
            drawn = any(len(part) for part in parts)
            masks.append(rle.from_polygons(parts, size) if drawn else None)
    return masks
