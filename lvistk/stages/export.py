"""``export``: a detection store as LVIS JSON, and JSON as a detection store."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from lvistk import console
from lvistk.data.exchange.annotation_records import (
    annotation_records,
    category_records,
    image_records,
)
from lvistk.data.exchange.json_detections import detections_of_index, read_detections
from lvistk.data.exchange.result_records import box_records, mask_records
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.lvis_json import is_results_file, write_annotations, write_results
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter, is_detection_store
from lvistk.errors import UserError
from lvistk.structures.detections import Detections

Kind = Literal["segm", "bbox", "annotations", "store"]
SHARD_IMAGES = 2000


def run(
    source: Path,
    out: Path,
    *,
    kind: Kind,
    annotations: Path | None = None,
    min_score: float = 0.0,
) -> None:
    """Write ``source`` to ``out`` in another form.

    ``source``: a detection store (file, folder, or stage folder), or for ``store`` an annotation or
    results JSON. ``kind``: ``segm`` and ``bbox`` results JSON as the LVIS server takes them, ``annotations``
    an annotation JSON with RLE masks, ``store`` a detection store: one file where ``out`` ends in
    ``.h5``, else a folder of shards. ``annotations``: the file that lists images and categories, for
    results, and for stores that do not name their images. ``min_score``: leave out what scores less.
    """
    if kind == "store":
        count = _to_store(source, out, annotations=annotations, min_score=min_score)
        console.say(f"{out}: {count} images")
        return
    if not is_detection_store(source):
        raise UserError(f"{source}: no detection store; JSON can only be exported as a store")
    store = DetectionStore.open(source)
    if kind == "annotations":
        write_annotations(
            out,
            images=image_records(store, annotations),
            annotations=annotation_records(store, min_score=min_score),
            categories=category_records(store, annotations),
            info=f"detections of role '{store.role}'",
        )
    else:
        records = mask_records(store) if kind == "segm" else box_records(store)
        write_results(out, (record for record in records if record["score"] >= min_score))
    console.say(f"{out}: {len(store)} images")


def _to_store(source: Path, out: Path, *, annotations: Path | None, min_score: float) -> int:
    if is_detection_store(source):
        raise UserError(f"{source}: is a detection store already; choose segm, bbox or annotations")
    if is_results_file(source):
        if annotations is None:
            raise UserError(
                f"{source}: results need --annotations, the file that lists their images"
            )
        read = read_detections(source, annotations, min_score=min_score)
        writer = DetectionWriter(out, categories=read.categories, role="detections")
        return _write_shards(writer, iter(read.per_image), read.names)
    with TemporaryDirectory() as cache:
        index = AnnotationIndex.open([source], cache=Path(cache))
        names = [index.file_name(i) for i in range(len(index))]
        writer = DetectionWriter(out, categories=index.categories, role="annotations")
        return _write_shards(writer, detections_of_index(index), names)


def _write_shards(
    writer: DetectionWriter, per_image: Iterator[Detections], names: Sequence[str]
) -> int:
    """Write all images into one file, or into shards where the writer has a folder."""
    whole = writer.path.suffix == ".h5"
    size = max(len(names), 1) if whole else SHARD_IMAGES
    for k, first in enumerate(range(0, max(len(names), 1), size)):
        writer.write_shard(k, list(islice(per_image, size)), names=names[first : first + size])
    return len(names)
