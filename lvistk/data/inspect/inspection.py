"""What an annotation file holds and what is wrong with it, counted."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.category_union import similar_names
from lvistk.data.index.defects import count_by_kind
from lvistk.data.index.lvis_json import read_categories
from lvistk.data.inspect.image_check import ImageFault
from lvistk.data.store.detection_store import is_detection_store
from lvistk.structures.categories import FREQUENCIES, counted_frequency

HISTOGRAM_BINS = 20


class GroupSummary(msgspec.Struct):
    """A frequency group: categories the file puts into it, and those whose images here would."""

    group: str
    categories_by_file: int
    categories_by_count: int
    annotations: int


class CategorySummary(msgspec.Struct):
    """A category.

    file_annotations: annotations in the files, those with a defect included
    images, instances: counted without records that are left out for a defect
    file_images, file_instances: what the file's own fields say
    area_ratio: mean of mask area over box area, None without an instance
    """

    id: int
    name: str
    frequency: str
    counted_frequency: str
    file_annotations: int
    images: int
    instances: int
    file_images: int | None
    file_instances: int | None
    area_ratio: float | None


class DefectLine(msgspec.Struct):
    file: str
    section: str
    id: int | None
    kind: str
    text: str


class Inspection(msgspec.Struct):
    """The report of ``inspect``: what the files hold, then what is left without records that are left out.

    file_images, file_annotations: records in the files
    images, annotations: records left; everything below is about these
    area_ratio_histogram: annotations in twenty equal bins of the area ratio from 0 to 1
    areas_computed: annotations without an area in the file
    similar_names: categories whose names differ in case or spaces only, or not at all
    image_faults: None where no folder was given
    """

    files: list[str]
    file_images: int
    file_annotations: int
    images: int
    annotations: int
    categories: list[CategorySummary]
    groups: list[GroupSummary]
    images_without_annotations: list[int]
    annotations_per_image: float | None
    negative_per_image: float | None
    not_exhaustive_per_image: float | None
    area_ratio_histogram: list[int]
    area_ratio_mean: float | None
    areas_computed: int
    similar_names: list[str]
    defect_counts: dict[str, int]
    defects: list[DefectLine]
    image_faults: list[ImageFault] | None = msgspec.field(name="photos")  # as files have it


def inspect_index(index: AnnotationIndex, *, image_faults: list[ImageFault] | None) -> Inspection:
    """Everything about the annotations of ``index``, and the images' faults where they were checked."""
    ratios = index.area_ratios()
    categories = _categories(index, ratios)
    images = len(index)
    histogram, _ = np.histogram(ratios, bins=HISTOGRAM_BINS, range=(0, 1))
    return Inspection(
        files=[str(path) for path in index.sources],
        file_images=index.read_images,
        file_annotations=index.read_annotations,
        images=images,
        annotations=len(index.labels),
        categories=categories,
        groups=_groups(categories),
        images_without_annotations=index.image_ids[np.diff(index.row) == 0].tolist(),
        annotations_per_image=_mean(len(index.labels), images),
        negative_per_image=_mean(sum(len(index.negative_labels(i)) for i in range(images)), images),
        not_exhaustive_per_image=_mean(
            sum(len(index.not_exhaustive_labels(i)) for i in range(images)), images
        ),
        area_ratio_histogram=histogram.tolist(),
        area_ratio_mean=_mean(float(ratios.sum()), len(ratios)),
        areas_computed=index.areas_computed,
        similar_names=similar_names(index.categories.ids.tolist(), index.categories.names),
        defect_counts=count_by_kind(index.defects),
        defects=[
            DefectLine(str(index.sources[d.source]), d.section, d.id, d.kind, d.text)
            for d in index.defects
        ],
        image_faults=image_faults,
    )


def _categories(index: AnnotationIndex, ratios: np.ndarray) -> list[CategorySummary]:
    categories = index.categories
    sums = np.bincount(index.labels, weights=ratios, minlength=len(categories))
    said = _file_counts(index.sources)
    summaries = []
    for label, number in enumerate(categories.ids.tolist()):
        images = int(categories.image_count[label])
        instances = int(categories.instance_count[label])
        file_images, file_instances = said.get(number, (None, None))
        summaries.append(
            CategorySummary(
                id=number,
                name=categories.names[label],
                frequency=str(categories.frequency[label]),
                counted_frequency=counted_frequency(images),
                file_annotations=int(index.category_read[label]),
                images=images,
                instances=instances,
                file_images=file_images,
                file_instances=file_instances,
                area_ratio=_mean(float(sums[label]), instances),
            )
        )
    return summaries


def _file_counts(sources: Sequence[Path]) -> dict[int, tuple[int | None, int | None]]:
    """What the files' own count fields say, of the first file that has them."""
    said: dict[int, tuple[int | None, int | None]] = {}
    for path in sources:
        if is_detection_store(path):
            continue
        table = read_categories(path)
        for label in np.flatnonzero(table.image_count + table.instance_count).tolist():
            counts = int(table.image_count[label]), int(table.instance_count[label])
            said.setdefault(int(table.ids[label]), counts)
    return said


def _groups(categories: Sequence[CategorySummary]) -> list[GroupSummary]:
    summaries = [
        GroupSummary(
            group=group,
            categories_by_file=sum(c.frequency == group for c in categories),
            categories_by_count=sum(c.counted_frequency == group for c in categories),
            annotations=sum(c.instances for c in categories if c.frequency == group),
        )
        for group in (*FREQUENCIES, "")
    ]
    return [g for g in summaries if g.group or g.categories_by_file or g.categories_by_count]


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None
