"""How fast this machine trains and detects with a model: a few steps on images of noise."""

import contextlib
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.model import ModelSettings
from lvistk.config.train import AugmentSettings, LoopSettings, OptimSettings
from lvistk.engine.optimizer import build_optimizer
from lvistk.engine.precision import autocast
from lvistk.inference.image_batches import Image, ImagesInViews
from lvistk.inference.predict import Predictor
from lvistk.inference.views import geometry, plan_views
from lvistk.masks.instance_masks import ImageMasks
from lvistk.masks.polygons import Polygons
from lvistk.models.build import build_model
from lvistk.models.freeze import freeze
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.planning.cost import (
    DETECTIONS,
    Rates,
    inference_gmacs,
    training_gmacs,
    training_sides,
)
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets

MOST_GMACS = {"cpu": 120.0, "cuda": 20_000.0}
"""Work of a measured step: of a large batch a part is measured, which takes less than half a minute."""
TIMED = 2
"""Steps that are timed, after one that is not (it compiles and allocates)."""
REAL = 1.4
"""A step of a real training over one of noise, on a CPU whose cores also read and augment images: 445 images
of COCO at 128 px, two cores."""
INSTANCES = 7
"""Instances of an image of noise, as COCO has."""


def measure_rates(
    model: ModelSettings,
    augment: AugmentSettings,
    *,
    loop: LoopSettings,
    categories: int,
    device: torch.device,
    aspect: float = 4 / 3,
    frozen: Sequence[str] = (),
) -> Rates:
    """Rates of training and inference on ``device`` with a model of these settings and random weights.

    categories: that the model has. aspect: longer over shorter side of a batch. frozen: parts of the model
    that are not trained.
    """
    torch.manual_seed(0)
    detector = build_model(model, _categories(categories)).to(device)
    freeze(detector, frozen)
    batch = loop.part_size
    size = short, long = training_sides(augment, aspect=aspect, batch=batch)
    work = training_gmacs(model, augment, aspect=aspect, batch=batch)
    images = max(1, min(batch, math.floor(MOST_GMACS[device.type] / work)))
    with _Peak(device) as step:
        seconds = _training_seconds(detector, images=images, size=size, loop=loop, device=device)
    slower = REAL if device.type == "cpu" else 1.0
    views = ViewSettings(short_edges=(short,), long_edge=augment.long_edge)
    with _Peak(device) as look:
        looked = _inference_seconds(detector, views, size=size, device=device)
    return Rates(
        training=work * images / (seconds * slower),
        inference=inference_gmacs(model, views, aspect=long / short) / looked,
        memory_gb=(step.gigabytes + step.before * (device.type == "cuda")) / images,
        inference_gb=look.gigabytes,
    )


def count_weights(
    model: ModelSettings, categories: int, *, frozen: Sequence[str] = ()
) -> tuple[int, int]:
    """Numbers of a model of these settings, and of them those that are trained."""
    detector = build_model(model, _categories(categories))
    freeze(detector, frozen)
    sizes = [(p.numel(), p.requires_grad) for p in detector.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained)


def _training_seconds(
    model: MaskRCNN, *, images: int, size: tuple[int, int], loop: LoopSettings, device: torch.device
) -> float:
    """Of a step with its backward pass and update."""
    model.train()
    optimizer = build_optimizer(model, OptimSettings(kind="adamw"))
    batch = ImageBatch.stack([_noise(size) for _ in range(images)]).to(device)
    targets = [_targets(size, len(model.categories), seed=k).to(device) for k in range(images)]

    def step() -> None:
        with autocast(loop.precision, device=device):
            losses = model(batch, targets)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return _timed(step, device)


def _inference_seconds(
    model: MaskRCNN, views: ViewSettings, *, size: tuple[int, int], device: torch.device
) -> float:
    """Of an image in ``views``, with masks of as many detections as are kept."""
    model.eval()
    planned = plan_views(views)
    merge = MergeSettings(
        score_threshold=0.0, max_detections=DETECTIONS, soft_nms="none", mask_source="found"
    )
    predictor = Predictor(model, planned, merge, PredictSettings(), device)
    batch = ImagesInViews(
        images=[Image(0, Path(), size)],
        indices=[0],
        sizes=[size],
        views=[ImageBatch.stack([_noise(size)]) for _ in planned],
        geometries=[[geometry(view, size)] for view in planned],
        left_out={},
    )
    return _timed(lambda: predictor.detect(batch), device)


def _timed(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of ``TIMED`` calls, after one that does not count."""
    best = math.inf
    for number in range(TIMED + 1):
        _wait(device)
        started = time.perf_counter()
        step()
        _wait(device)
        if number:
            best = min(best, time.perf_counter() - started)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Peak:
    """The most memory that a block takes beyond what was taken before it, both in GB.

    On a GPU it counts tensors, on a CPU the process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.before = self.gigabytes = 0.0

    def __enter__(self) -> "_Peak":
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self.before = torch.cuda.memory_allocated(self._device) / 1e9
        else:
            with contextlib.suppress(OSError):  # Linux forgets the process's peak
                Path("/proc/self/clear_refs").write_text("5")
            self.before = _process_gb("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            most = torch.cuda.max_memory_allocated(self._device) / 1e9
        else:
            most = _process_gb("VmHWM")
        self.gigabytes = max(most - self.before, 0.0)


def _process_gb(line: str) -> float:
    """Memory of this process by a line of /proc/self/status; where there is none, the most so far."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{line}:")[1].split()[0]) / 1e6
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e9 if sys.platform == "darwin" else 1e6)


def _noise(size: tuple[int, int]) -> torch.Tensor:
    return torch.randint(0, 256, (3, *size), dtype=torch.uint8)


def _targets(size: tuple[int, int], categories: int, *, seed: int) -> Targets:
    """Squares of a fifth of the image's height, each a polygon."""
    rng = np.random.default_rng(seed)
    side = size[0] / 5
    corners = rng.random((INSTANCES, 2)) * (size[1] - side, size[0] - side)
    boxes = np.concatenate([corners, corners + side], axis=1).astype(np.float32)
    outlines = [[box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2).astype(float)] for box in boxes]
    masks = ImageMasks.build(Polygons.from_lists(outlines), boxes=boxes, size=size)
    return Targets(
        boxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(rng.integers(0, categories, INSTANCES)),
        masks=masks,
        area_ratio=torch.ones(INSTANCES),
        ignore_boxes=torch.zeros(0, 4),
        negative_labels=torch.zeros(0, dtype=torch.int64),
        not_exhaustive_labels=torch.zeros(0, dtype=torch.int64),
        seed=seed,
    )


def _categories(count: int) -> Categories:
    return Categories(
        ids=np.arange(1, count + 1),
        names=tuple(f"category {number}" for number in range(count)),
        frequency=np.full(count, "f"),
        image_count=np.full(count, 100),
        instance_count=np.full(count, 200),
        annotated_images=1000,
    )
