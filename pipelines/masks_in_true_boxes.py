"""How well models draw masks where box and category are given, by the share of its box that a mask fills.

    python pipelines/masks_in_true_boxes.py --val runs/finetune_ablation/data/annotations/val.json \
        --images runs/finetune_ablation/data runs/finetune_ablation/seed0/{longer,balanced_loss,all}

AP mixes what a mask branch does with what boxes and scores do; here only the masks differ. Prints mean
IoU, the share of masks that Eq. 1 moved to another level, and the CPU time of a mask without the feature
maps.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from lvistk import console
from lvistk.cli.app import run_and_exit
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.inference.image_batches import Image, load_batches
from lvistk.inference.views import View
from lvistk.masks import rle
from lvistk.masks.paste import paste_masks
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model

EDGES = (0.25, 0.5, 0.75)
COLUMNS = ("model", "all", "< .25", ".25-.5", ".5-.75", "> .75", "moved", "ms a mask")


class Drawn(NamedTuple):
    """Masks of one image: ``ious (N,)``, ``moved`` of them, CPU ``seconds``."""

    ious: np.ndarray
    moved: float
    seconds: float


def main(
    models: Annotated[list[Path], typer.Argument(help="Stage folders or model.safetensors.")],
    val: Annotated[Path, typer.Option(help="Annotation file.")],
    images: Annotated[Path, typer.Option(help="Folder of its images.")],
    short_edge: Annotated[int, typer.Option(help="Of the view, in pixels.")] = 136,
    long_edge: Annotated[int, typer.Option(help="Of the view, in pixels.")] = 224,
) -> None:
    """Draw the masks of every annotation with each model and print one row a model."""
    index = AnnotationIndex.open([val], cache=cache_beside(models[0]))
    places = np.flatnonzero(np.diff(index.row)).tolist()
    ratios = np.concatenate([index.area_ratios()[index.row[i] : index.row[i + 1]] for i in places])
    view, rows = View(short_edge, long_edge), []
    for path in models:
        model = load_model(path, device=torch.device("cpu")).eval()
        drawn = list(draw(model, index, images, places=places, view=view))
        ious = np.concatenate([image.ious for image in drawn])
        moved, seconds = sum(p.moved for p in drawn), sum(p.seconds for p in drawn)
        count = len(ious)
        rows.append(
            [path.name, *by_ratio(ious, ratios), 100 * moved / count, 1e3 * seconds / count]
        )
    console.table(f"mean IoU of {len(ratios)} masks in true boxes, percent", COLUMNS, rows)


def by_ratio(ious: np.ndarray, ratios: np.ndarray) -> list[float | None]:
    """Mean of ``ious (N,)`` in percent, then of each bucket of ``ratios (N,)``; None where it is empty."""
    bucket = np.digitize(ratios, EDGES)
    parts = [ious, *(ious[bucket == k] for k in range(len(EDGES) + 1))]
    return [100 * float(part.mean()) if len(part) else None for part in parts]


@torch.inference_mode()
def draw(
    model: MaskRCNN, index: AnnotationIndex, images: Path, *, places: Sequence[int], view: View
) -> Iterator[Drawn]:
    """Masks of the annotations of each image in ``places``, one image at a time."""
    samples = [
        Image(int(index.image_ids[i]), index.image_path(i, images), index.size(i)) for i in places
    ]
    batches = load_batches(samples, views=[view], batch_size=1, workers=0)
    for place, batch in zip(places, batches, strict=True):
        gt, size = index.annotations(place), index.size(place)
        labels = torch.from_numpy(np.asarray(gt.labels, np.int64))
        boxes = np.asarray(gt.boxes, np.float32)
        features = model.inference_features(batch.views[0])
        seen = torch.from_numpy(batch.geometries[0][0].to_view(boxes))
        started = time.process_time()
        found = model.predict_masks(features, [seen], [labels])[0]
        seconds = time.process_time() - started
        pasted = paste_masks(found.probs.numpy(), boxes, size=size)
        ious = [
            iou(ours, theirs, size) for ours, theirs in zip(pasted, index.masks(place), strict=True)
        ]
        yield Drawn(np.array(ious), float(found.moved) * len(boxes), seconds)


def iou(first: bytes, second: bytes, size: tuple[int, int]) -> float:
    a, b = rle.decode(first, size) > 0, rle.decode(second, size) > 0
    return float((a & b).sum() / max((a | b).sum(), 1))


if __name__ == "__main__":
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(main)
    run_and_exit(command, name="masks_in_true_boxes.py")
