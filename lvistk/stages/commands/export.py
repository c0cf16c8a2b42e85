"""``export``: a detection store as JSON and back; a model as a graph, a backbone, a page."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from lvistk import console
from lvistk.config.load import expanded
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
from lvistk.masks import rle
from lvistk.stages.commands.export_backbone import write_backbone
from lvistk.structures.detections import Detections

Kind = Literal["segm", "bbox", "annotations", "store", "model", "backbone", "card", "onnx"]
SHARD_IMAGES = 2000


@dataclass(frozen=True)
class ExportOptions:
    """What some kinds of export can be told.

    annotations: the file that lists images and categories, for results JSON, and for stores that do not
    name their images.
    min_score: leave out what scores less.
    half: store weights in half precision.
    size: HEIGHTxWIDTH of the images that an ONNX file takes, or ``dynamic`` for any.
    images: on which an ONNX file is compared with torch: a folder, glob, list or image.
    """

    annotations: Path | None = None
    min_score: float = 0.0
    half: bool = False
    size: str = "dynamic"
    images: Path | None = None


USUAL = ExportOptions()
TAKEN: dict[Kind, tuple[str, ...]] = {
    "segm": ("annotations", "min_score"),
    "bbox": ("annotations", "min_score"),
    "annotations": ("annotations", "min_score"),
    "store": ("annotations", "min_score"),
    "model": ("half",),
    "backbone": ("half",),
    "card": (),
    "onnx": ("min_score", "size", "images"),
}
"""The options that each kind takes."""


def run(source: Path, out: Path, *, kind: Kind, options: ExportOptions = USUAL) -> None:
    """Write ``source`` to ``out`` in another form.

    source: a detection store (file, folder, or stage folder); for ``store`` an annotation or results JSON;
    for ``model``, ``backbone`` and ``onnx`` a model (stage folder, file or ``lvistk:NAME``); for ``card``
    the stage folder of a model.
    kind: ``segm`` and ``bbox``, results JSON as the LVIS server takes them; ``annotations``, an annotation
    JSON with RLE masks; ``store``, a detection store, one file where ``out`` ends in ``.h5``, else a folder
    of shards; ``model``, a model alone; ``backbone``, its backbone as a weight file; ``card``, its model card
    with all scores of the runs beside it; ``onnx``, the model with one view as a graph.

    Raises ``UserError`` for an option that the kind does not take, and where ``out`` is a file that is read.
    """
    _require_taken(kind, options)
    source = expanded(source)
    for read in (source, options.annotations):
        if read is not None and read.exists() and out.exists() and out.samefile(read):
            raise UserError(f"{out}: is read, and would be replaced; choose another OUT")
    match kind:
        case "model":
            from lvistk.stages.commands.export_model import write_model  # imports torch

            written = write_model(source, out, half=options.half)
        case "backbone":
            written = write_backbone(source, out, half=options.half)
        case "card":
            from lvistk.stages.model_card import write_card_again  # imports torch

            written = write_card_again(source, out)
        case "onnx":
            from lvistk.stages.commands.export_onnx import write_checked  # imports torch

            written = write_checked(
                source, out, size=options.size, images=options.images, min_score=options.min_score
            )
        case "store":
            count = _to_store(
                source, out, annotations=options.annotations, min_score=options.min_score
            )
            written = f"{count} images"
        case _:
            count = _to_json(source, out, kind, options.annotations, options.min_score)
            written = f"{count} images"
    console.say(f"{out}: {written}")


def _require_taken(kind: Kind, options: ExportOptions = USUAL) -> None:
    for field in dataclasses.fields(options):
        given = getattr(options, field.name) != field.default
        if given and field.name not in TAKEN[kind]:
            name = field.name.replace("_", "-")
            kinds = ", ".join(one for one, names in TAKEN.items() if field.name in names)
            raise UserError(f"--{name} is not for --as {kind}, but for {kinds}")


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
        _warn_of_empty_masks(source, read.per_image)
        writer = DetectionWriter(out, categories=read.categories, role="detections")
        return _write_shards(writer, iter(read.per_image), read.names)
    with TemporaryDirectory() as cache:
        index = AnnotationIndex.open([source], cache=Path(cache))
        names = [index.file_name(i) for i in range(len(index))]
        writer = DetectionWriter(out, categories=index.categories, role="annotations")
        per_image = detections_of_index(index, scores=scores_of(source))
        kept = (image.select(image.scores >= min_score) for image in per_image)
        return _write_shards(writer, kept, names)


def _warn_of_empty_masks(source: Path, per_image: Sequence[Detections]) -> None:
    """Tell of detections that a store scores differently from results JSON: docs/evaluate.md."""
    count = 0
    for image in per_image:
        if image.masks is not None:
            sides = np.maximum(image.boxes[:, 2:] - image.boxes[:, :2], 0)
            count += int(np.sum((rle.areas(image.masks, image.size) == 0) & (sides.prod(1) > 0)))
    if count:
        console.warn(
            f"{source}: {count} detections have a box and a mask without pixels; evaluate takes them for "
            "false positives of masks in this file and drops them in the store: area=mask or area=box "
            "makes both alike"
        )


def _write_shards(
    writer: DetectionWriter, per_image: Iterator[Detections], names: Sequence[str]
) -> int:
    """Write all images into one file, or into shards where the writer has a folder."""
    whole = writer.path.suffix == ".h5"
    size = max(len(names), 1) if whole else SHARD_IMAGES
    for k, first in enumerate(range(0, max(len(names), 1), size)):
        writer.write_shard(k, list(islice(per_image, size)), names=names[first : first + size])
    return len(names)
