"""``export``: a detection store as LVIS JSON, JSON as a detection store, a model's backbone."""

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
from lvistk.data.exchange.json_detections import detections_of_index, read_detections, scores_of
from lvistk.data.exchange.result_records import box_records, mask_records
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.lvis_json import is_results_file
from lvistk.data.index.lvis_write import write_annotations, write_results
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter, is_detection_store
from lvistk.errors import UserError
from lvistk.stages.export_backbone import write_backbone
from lvistk.structures.detections import Detections

Kind = Literal["segm", "bbox", "annotations", "store", "backbone"]
SHARD_IMAGES = 2000


def run(
    source: Path,
    out: Path,
    *,
    kind: Kind,
    annotations: Path | None = None,
    min_score: float = 0.0,
    half: bool = False,
) -> None:
    """Write ``source`` to ``out`` in another form.

    source: a detection store (file, folder, or stage folder); for ``store`` an annotation or results JSON;
    for ``backbone`` a model (stage folder or file).
    kind: ``segm`` and ``bbox``, results JSON as the LVIS server takes them; ``annotations``, an annotation
    JSON with RLE masks; ``store``, a detection store, one file where ``out`` ends in ``.h5``, else a folder
    of shards; ``backbone``, a model's backbone as a weight file.
    annotations: the file that lists images and categories, for results JSON, and for stores that do not
    name their images.
    min_score: leave out what scores less.
    half: store the backbone's weights in half precision.
    """
    if half and kind != "backbone":
        raise UserError(f"--half is for --as backbone, not {kind}")
    if kind == "backbone" and (annotations is not None or min_score):
        raise UserError("--annotations and --min-score are not for --as backbone")
    match kind:
        case "backbone":
            written = write_backbone(source, out, half=half)
        case "store":
            written = (
                f"{_to_store(source, out, annotations=annotations, min_score=min_score)} images"
            )
        case _:
            written = f"{_to_json(source, out, kind, annotations, min_score)} images"
    console.say(f"{out}: {written}")


def _to_json(
    source: Path,
    out: Path,
    kind: Literal["segm", "bbox", "annotations"],
    annotations: Path | None,
    min_score: float,
) -> int:
    if not is_detection_store(source):
        raise UserError(f"{source}: no detection store; JSON can only be exported as a store")
    store = DetectionStore.open(source)
    if kind == "annotations":
        write_annotations(
            out,
            images=image_records(store, annotations),
            annotations=annotation_records(store, annotations, min_score=min_score),
            categories=category_records(store, annotations),
            info=f"detections of role '{store.role}'",
        )
    else:
        records = mask_records(store) if kind == "segm" else box_records(store)
        write_results(out, (record for record in records if record["score"] >= min_score))
    return len(store)


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
        per_image = detections_of_index(index, scores=scores_of(source))
        kept = (image.select(image.scores >= min_score) for image in per_image)
        return _write_shards(writer, kept, names)


def _write_shards(
    writer: DetectionWriter, per_image: Iterator[Detections], names: Sequence[str]
) -> int:
    """Write all images into one file, or into shards where the writer has a folder."""
    whole = writer.path.suffix == ".h5"
    size = max(len(names), 1) if whole else SHARD_IMAGES
    for k, first in enumerate(range(0, max(len(names), 1), size)):
        writer.write_shard(k, list(islice(per_image, size)), names=names[first : first + size])
    return len(names)
