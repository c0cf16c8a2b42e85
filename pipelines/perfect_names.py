"""What a model would score if it called every instance that it finds by its name.

    python pipelines/perfect_names.py --max-detections 10 --val runs/ladder/data/annotations/val.json \
        runs/ladder/tta-infer-*

Each detection whose mask has an IoU of 0.5 or more with an instance takes the category of the instance that
it overlaps most; of several on one instance the best remains. What is then missing, no classifier can give:
it is lost by what finds, draws and scores. Prints mask AP of each store as it is and with perfect names.
"""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from pycocotools import mask as coco_masks

from lvistk import console
from lvistk.cli.app import run_and_exit
from lvistk.config.evaluation import EvaluateSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.structures.detections import Detections

FOUND = 0.5
SCORES = ("AP", "APr", "APc", "APf")


def main(
    stores: Annotated[list[Path], typer.Argument(help="tta-infer folders with masks.")],
    val: Annotated[Path, typer.Option(help="Annotation file, all instances annotated.")],
    max_detections: Annotated[int, typer.Option(help="That count per image.")] = 300,
) -> None:
    """Score each store as it is and with perfect names, and print two rows for it."""
    index = AnnotationIndex.open([val], cache=cache_beside(stores[0]))
    settings = EvaluateSettings(
        kinds=("segm",), max_detections=max_detections, boundary=False, fixed=False
    )
    rows = []
    for path in stores:
        with TemporaryDirectory() as folder:
            named = Path(folder) / "named.h5"
            write_named(DetectionStore.open(path), index, named)
            for name, store in ((path.name, path), ("  perfect names", named)):
                scores = evaluate(val, Results(store), settings).metrics["segm"]
                rows.append(
                    [name, *(None if (s := scores[k]) is None else 100 * s for k in SCORES)]
                )
    console.table("mask AP, percent", ("detections", *SCORES), rows)


def write_named(store: DetectionStore, index: AnnotationIndex, path: Path) -> None:
    """The detections of ``store`` with perfect names, as one file."""
    place = {int(image_id): i for i, image_id in enumerate(index.image_ids)}
    images = []
    for detections in store:
        i = place[detections.image_id]
        labels = np.asarray(index.annotations(i).labels)
        images.append(perfectly_named(detections, index.masks(i), labels))
    DetectionWriter(path, categories=index.categories, role="detections").write_shard(0, images)


def perfectly_named(detections: Detections, masks: list[bytes], labels: np.ndarray) -> Detections:
    """``detections`` with the labels ``(G,)`` of the instances ``masks`` (G) that they overlap most.

    Of several on one instance only the best scored is returned; those on none are as they were.
    """
    if not len(detections) or not masks:
        return detections
    ours, theirs = (
        [{"size": list(detections.size), "counts": mask} for mask in those]
        for those in (detections.masks or [], masks)
    )
    ious = np.asarray(coco_masks.iou(ours, theirs, [0] * len(theirs)))  # (N, G)
    instance = np.where(ious.max(axis=1) >= FOUND, ious.argmax(axis=1), -1)
    first = np.zeros(len(detections), bool)  # on its instance; detections come best first
    first[np.unique(instance, return_index=True)[1]] = True
    names = np.where(instance >= 0, labels[instance], detections.labels).astype(np.int32)
    return dataclasses.replace(detections, labels=names).select(first | (instance < 0))


if __name__ == "__main__":
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(main)
    run_and_exit(command, name="perfect_names.py")
