"""Annotation and results JSON as a detection store."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lvistk.data.index.annotation_chunk import Rle
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
from lvistk.masks import rle
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections


def detections_of_index(
    index: AnnotationIndex, indices: Sequence[int] | None = None
) -> Iterator[Detections]:
    """The annotations of each image as detections of score 1, polygons rasterised as COCO does.

    ``indices`` chooses images; all by default.
    """
    for i in range(len(index)) if indices is None else indices:
        annotations = index.annotations(i)
        size = index.size(i)
        masks = [
            counts or rle.from_polygons(annotations.polygons.parts(g), size)
            for g, counts in enumerate(annotations.rle)
        ]
        yield Detections(
            image_id=int(index.image_ids[i]),
            size=size,
            boxes=annotations.boxes,
            scores=np.ones(len(annotations), np.float32),
            labels=annotations.labels,
            masks=masks,
        )


class ReadDetections(NamedTuple):
    """Detections of M images, the images' names, and their label set."""

    categories: Categories
    per_image: list[Detections]
    names: list[str]


def read_detections(results: Path, annotations: Path, *, min_score: float) -> ReadDetections:
    """The results of each image of ``annotations``, best score first; all are held in memory.

    Raises ``UserError`` for an image or category that ``annotations`` lacks, an RLE that is none, and for
    results of which some have masks and others have none.
    """
    listed = AnnotationFile(annotations)
    categories = categories_of(listed.categories(), annotations)
    images = {r.id: r for r in listed.images() if not isinstance(r, Broken)}
    grouped: dict[int, list[tuple[int, ResultRecord]]] = defaultdict(list)
    for number, record in enumerate(read_results(results)):
        if record.image_id not in images:
            raise UserError(
                f"{results}: result {number}: image {record.image_id} is not in {annotations}"
            )
        if record.score >= min_score:
            grouped[record.image_id].append((number, record))
    with_masks = {r.segmentation is not None for rows in grouped.values() for _, r in rows}
    if len(with_masks) == 2:
        raise UserError(f"{results}: some results have a segmentation and others have none")
    per_image = [
        _image(results, image, grouped.get(number, []), categories)
        for number, image in images.items()
    ]
    return ReadDetections(categories, per_image, [image.name for image in images.values()])


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
        raise UserError(f"{path}: result {number}: category {record.category_id} is unknown")
    masks = None
    if records[0][1].segmentation is not None:
        masks = [_mask(path, number, record, size) for number, record in records]
    return Detections(
        image_id=image.id,
        size=size,
        boxes=_boxes(path, records, masks, size),
        scores=np.array([record.score for _, record in records], np.float32),
        labels=labels.astype(np.int32),
        masks=masks,
    )


def _boxes(
    path: Path,
    records: list[tuple[int, ResultRecord]],
    masks: list[bytes] | None,
    size: tuple[int, int],
) -> np.ndarray:
    """Boxes as given, or tight around the masks where a result has none."""
    tight = rle.boxes(masks, size) if masks is not None else None
    boxes = np.zeros((len(records), 4), np.float32)
    for k, (number, record) in enumerate(records):
        if record.bbox is not None:
            x, y, w, h = record.bbox
            boxes[k] = (x, y, x + w, y + h)
        elif tight is not None:
            boxes[k] = tight[k]
        else:
            raise UserError(f"{path}: result {number} has neither bbox nor segmentation")
    return boxes


def _mask(path: Path, number: int, record: ResultRecord, size: tuple[int, int]) -> bytes:
    segmentation = record.segmentation
    if segmentation is None or not isinstance(segmentation.counts, str):
        raise UserError(f"{path}: result {number}: counts must be compressed RLE")
    mask = Rle(segmentation.size, segmentation.counts.encode("utf-8"))
    fault = rle_fault(mask, np.array(size))
    if fault:
        raise UserError(f"{path}: result {number}: {fault}")
    return mask.counts
