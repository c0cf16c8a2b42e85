"""Training steps and inference on the played device; prints the waits of each case as JSON.

python -m tests.rehearsal.play          # all cases, by line
python -m tests.rehearsal.play --json
"""

import collections
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.train import LoopSettings, OptimSettings
from lvistk.engine.job import Job, Part
from lvistk.engine.run import Run
from lvistk.inference.image_batches import Image, load_batches
from lvistk.inference.predict import Predictor
from lvistk.inference.views import plan_views
from lvistk.masks.instance_masks import ImageMasks
from lvistk.masks.polygons import Polygons
from tests.inference.colours import paint, write
from tests.models.build_small import (
    ALL_MASK_PARTS,
    CASCADE,
    HTC,
    small_model,
    some_batch,
    some_targets,
)
from tests.rehearsal.device import Rehearsal, register

IMAGES = 2
CLASSIFIERS: dict[str, dict[str, Any]] = {
    kind: {"classifier": {"kind": kind}}
    for kind in ("softmax", "eql", "group_softmax", "eql_v2", "seesaw", "federated")
}
TRAININGS: dict[str, tuple[dict[str, Any], ...]] = {
    **{f"mask_rcnn {kind}": (change,) for kind, change in CLASSIFIERS.items()},
    "cascade": (CASCADE,),
    "htc": (HTC,),
    "stage 2": (ALL_MASK_PARTS, CLASSIFIERS["group_softmax"]),
    "htc stage 2": (HTC, ALL_MASK_PARTS, CLASSIFIERS["group_softmax"]),
}
"""Models that are trained, as changes to a small Mask R-CNN."""


@dataclass
class Batches:
    """The same two images with polygons and missing annotations, again and again."""

    def len_epoch(self, epoch: int) -> int:
        return 20

    def epoch(self, epoch: int, start_sample: int = 0) -> Iterator[Part]:
        for _ in range(start_sample // IMAGES, 10):
            yield some_batch(), [targets(seed) for seed in range(IMAGES)]


def targets(seed: int) -> Any:
    """Five instances, each a polygon of the corners of its box, and one missing annotation."""
    made = some_targets(5, seed=seed, ignore_boxes=torch.tensor([[4.0, 4, 40, 40]]))
    boxes = made.boxes.numpy()
    corners = [[box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2).astype(float)] for box in boxes]
    made.masks = ImageMasks.build(Polygons.from_lists(corners), boxes=boxes, size=(96, 128))
    return made


def training(name: str, device: torch.device) -> dict[str, Any]:
    """Waits of one step that writes no row of metrics, after one that may copy constants; and of a row."""
    with tempfile.TemporaryDirectory() as folder, Rehearsal().on() as rehearsal:
        job = Job(
            model=small_model(*TRAININGS[name]),
            batches=Batches(),
            optim=OptimSettings(lr=0.001, clip_norm=10.0),
            loop=LoopSettings(epochs=1, batch_size=IMAGES, ema_decay=0.9, log_steps=1),
            folder=Path(folder),
            device=device,
        )
        run = Run(job)
        steps = run.remaining()

        def step() -> None:
            parts, waited = next(steps)
            run.meter.add(run.step(parts), images=IMAGES, waited=waited)

        step()
        rehearsal.waits.clear()
        step()
        counted = _by_line(rehearsal)
        rehearsal.waits.clear()
        run.log()
        row = _by_line(rehearsal)
        run.meter.close()
    return {"step": counted, "row": row}


def inference(device: torch.device, *, views: int) -> dict[str, Any]:
    """Waits per image in ``views`` views of a model with all parts."""
    model = small_model(ALL_MASK_PARTS, CLASSIFIERS["group_softmax"])
    planned = plan_views(ViewSettings(short_edges=(96, 128, 160)[:views], long_edge=300))
    merge = MergeSettings(max_detections=20, mask_sides=(20, 40, 80))
    with tempfile.TemporaryDirectory() as folder:
        size = (96, 128)
        image = Image(1, write(Path(folder) / "1.png", paint(*size)), size)
        (batch,) = load_batches([image], views=planned, batch_size=1, workers=0)
    with Rehearsal().on() as rehearsal:
        predictor = Predictor(model.eval().to(device), planned, merge, PredictSettings(), device)
        predictor.detect(batch)
        rehearsal.waits.clear()
        (detections,) = predictor.detect(batch)
        counted = _by_line(rehearsal)
    assert len(detections) == 20 and detections.masks is not None
    assert np.isfinite(detections.scores).all()
    return {"image": counted}


def _by_line(rehearsal: Rehearsal) -> dict[str, int]:
    """How often each line waited, most often first."""
    counted = collections.Counter(f"{wait.line} {wait.why}" for wait in rehearsal.waits)
    return dict(counted.most_common())


def play() -> dict[str, dict[str, dict[str, int]]]:
    """All cases by name: waits of a step and of a row of metrics, or of an image."""
    device = register()
    torch.manual_seed(0)
    played = {name: training(name, device) for name in TRAININGS}
    return played | {f"inference {n}": inference(device, views=n) for n in (1, 3)}


def main() -> None:
    played = play()
    if "--json" in sys.argv:
        print(json.dumps(played))
        return
    for name, parts in played.items():
        for part, lines in parts.items():
            print(f"{name}, {part}: {sum(lines.values())} waits")
            for line, number in lines.items():
                print(f"  {number:3} {line}")


if __name__ == "__main__":
    main()
