"""Annotation files into the flat arrays of an index: read, check, sort by image.

A record with a defect is left out and noted; what a caller does about it is the policy of
``AnnotationIndex.open``. Memory stays at a few chunks: everything goes to the disk as it is read and
is put into image order at the end.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from lvistk.data.index.annotation_checks import check_annotations
from lvistk.data.index.annotation_chunk import AnnotationChunk, chunk_of
from lvistk.data.index.annotation_sources import Source, open_source
from lvistk.data.index.category_union import union_categories
from lvistk.data.index.defects import Defect
from lvistk.data.index.flat_arrays import FlatWriter, map_arrays
from lvistk.data.index.image_table import ImageTable
from lvistk.data.index.lvis_json import Broken
from lvistk.data.index.runs import gather_runs
from lvistk.errors import UserError
from lvistk.masks.polygons import starts
from lvistk.structures.categories import Categories

CHUNK = 4096
"""Annotations moved together."""
SHARES_FROM = 8
"""Pixels of an image's longer edge; in smaller ones an instance may well lie in the first pixel."""


def build_index(paths: Sequence[Path], folder: Path) -> None:
    """Write the index of ``paths`` into the new folder ``folder``.

    Raises ``UserError`` for what no policy can leave out: a file that is no JSON, categories that
    differ, an image id in two files, shares in place of pixels.
    """
    sources = [open_source(path) for path in paths]
    categories = union_categories([(source.path, source.categories()) for source in sources])
    images = ImageTable(categories)
    defects: list[Defect] = []
    for number, source in enumerate(sources):
        defects += images.add(number, source.path, source.images(), list(paths))
    unsorted = folder / "unsorted"
    tally = Tally(read_images=images.read, category_read=np.zeros(len(categories), np.int64))
    with FlatWriter(unsorted) as writer:
        for number, source in enumerate(sources):
            defects += _write_source(
                writer, number, source, images=images, categories=categories, tally=tally
            )
        writer.finish(notes={})
    arrays, _ = map_arrays(unsorted)
    _require_pixels(arrays, images.sizes(), paths)
    keep, repeated = _drop_repeated_ids(arrays)
    defects += repeated
    notes = {
        "defects": len(defects),
        "left_out": sum(not defect.corrected for defect in defects),
        "areas_computed": tally.areas_computed,
        "read_images": tally.read_images,
        "read_annotations": tally.read_annotations,
        "category_names": list(categories.names),
    }
    with FlatWriter(folder) as writer:
        images.write(writer)
        _write_sorted(writer, arrays, keep, image_count=len(images))
        labels, rows = arrays["labels"][keep], arrays["rows"][keep]
        _write_categories(writer, categories, labels=labels, rows=rows)
        writer.append("category_read", tally.category_read)
        writer.append("defects", np.frombuffer(msgspec.json.encode(defects), np.uint8))
        shutil.rmtree(unsorted)
        writer.finish(notes=notes)


@dataclass
class Tally:
    """What the files hold, records with a defect included.

    read_images, read_annotations: records
    areas_computed: sound annotations without an area
    category_read: (C,) annotations by label
    """

    read_images: int
    category_read: np.ndarray
    read_annotations: int = 0
    areas_computed: int = 0


def _write_source(
    writer: FlatWriter,
    number: int,
    source: Source,
    *,
    images: ImageTable,
    categories: Categories,
    tally: Tally,
) -> list[Defect]:
    """Append the sound annotations of one source; returns its defects."""
    defects: list[Defect] = []
    left_out = list(images.left_out)
    sizes = np.concatenate([images.sizes(), np.zeros((1, 2), np.int32)])  # the last: unknown image
    _append(writer, number, chunk_of([]), rows=np.zeros(0, np.int64), labels=np.zeros(0))
    for read, broken in source.chunks():
        defects += [_as_defect(number, record) for record in broken]
        labels = categories.labels(read.category_ids)
        tally.read_annotations += len(read) + len(broken)
        tally.category_read += np.bincount(labels[labels >= 0], minlength=len(categories))
        with_image = ~np.isin(read.image_ids, left_out)
        chunk, labels = read.select(with_image), labels[with_image]
        rows = images.rows(chunk.image_ids, source=number)
        checked = check_annotations(chunk, source=number, sizes=sizes[rows], labels=labels)
        defects += checked.defects
        sound = checked.sound
        tally.areas_computed += int(np.count_nonzero(sound & checked.lacking))
        _append(writer, number, chunk.select(sound), rows=rows[sound], labels=labels[sound])
    return defects


def _as_defect(number: int, record: Broken) -> Defect:
    text = f"(number {record.position} of the list) {record.reason}"
    return Defect(number, "annotation", record.id, "wrong_type", text)


def _append(
    writer: FlatWriter, number: int, chunk: AnnotationChunk, *, rows: np.ndarray, labels: np.ndarray
) -> None:
    polygons = chunk.masks.polygons
    counts = [b"" if mask is None else mask.counts for mask in chunk.masks.rle]
    writer.append("source", np.full(len(chunk), number, np.int32))
    writer.append("ids", chunk.ids)
    writer.append("rows", rows)
    writer.append("labels", labels.astype(np.int32))
    writer.append("boxes", chunk.boxes.astype(np.float32))
    writer.append("areas", chunk.areas.astype(np.float32))
    writer.append("part_count", np.diff(polygons.instance_start))
    writer.append("part_length", np.diff(polygons.part_start))
    writer.append("points", polygons.points)
    writer.append("rle_length", np.array([len(value) for value in counts], np.int64))
    writer.append("rle", np.frombuffer(b"".join(counts), np.uint8))


def _require_pixels(
    arrays: dict[str, np.ndarray], sizes: np.ndarray, paths: Sequence[Path]
) -> None:
    """Raise ``UserError`` where all boxes of a file lie in the first pixel of images that have more."""
    for number, path in enumerate(paths):
        mine = arrays["source"] == number
        boxes, largest = arrays["boxes"][mine], sizes[arrays["rows"][mine]].max(initial=0)
        if len(boxes) > 1 and boxes.max() <= 1 and largest > SHARES_FROM:
            raise UserError(
                f"{path}: all {len(boxes)} annotations lie in the first pixel of their images: their "
                "coordinates are shares of width and height; multiply them by these"
            )


def _drop_repeated_ids(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, list[Defect]]:
    """Which annotations stay: of those that share an id within a file, the first."""
    ids, sources = arrays["ids"], arrays["source"]
    order = np.lexsort((ids, sources))  # stable, so that the first in the file stays first
    same = (ids[order][1:] == ids[order][:-1]) & (sources[order][1:] == sources[order][:-1])
    repeated = np.sort(order[1:][same])
    defects = [
        Defect(int(sources[n]), "annotation", int(ids[n]), "id_twice", "its id is used twice")
        for n in repeated
    ]
    keep = np.ones(len(ids), bool)
    keep[repeated] = False
    return keep, defects


def _write_sorted(
    writer: FlatWriter, arrays: dict[str, np.ndarray], keep: np.ndarray, *, image_count: int
) -> None:
    """The annotations that stay, in image order, and where each image's start."""
    kept = np.flatnonzero(keep)
    rows = arrays["rows"][kept]
    order = kept[np.argsort(rows, kind="stable")]
    writer.append("row", starts(np.bincount(rows, minlength=image_count)))
    for old, new in (
        ("ids", "annotation_ids"),
        ("labels", "labels"),
        ("boxes", "boxes"),
        ("areas", "areas"),
    ):
        writer.append(new, arrays[old][order])
    part_start, rle_start = starts(arrays["part_count"]), starts(arrays["rle_length"])
    point_start = starts(arrays["part_length"])[part_start]
    writer.append("instance_start", starts(arrays["part_count"][order]))
    writer.append("rle_start", starts(arrays["rle_length"][order]))
    lengths = [np.zeros(0, np.int64)]
    for first in range(0, max(len(order), 1), CHUNK):
        block = order[first : first + CHUNK]
        lengths.append(gather_runs(arrays["part_length"], part_start, block))
        writer.append("points", gather_runs(arrays["points"], point_start, block))
        writer.append("rle", gather_runs(arrays["rle"], rle_start, block))
    writer.append("part_start", starts(np.concatenate(lengths)))


def _write_categories(
    writer: FlatWriter, categories: Categories, *, labels: np.ndarray, rows: np.ndarray
) -> None:
    """The label set, with images and instances counted on the annotations that stay."""
    count = len(categories)
    pairs = np.unique(rows * max(count, 1) + labels)
    writer.append("category_ids", categories.ids)
    writer.append(
        "category_frequency", np.array([ord(f or " ") for f in categories.frequency], np.uint8)
    )
    writer.append("category_images", np.bincount(pairs % max(count, 1), minlength=count))
    writer.append("category_instances", np.bincount(labels, minlength=count))
