"""Training steps of one model, timed, with the process's peak memory: a process of test_train_step.

``python -m tests.bench.train_step --help`` says what can be varied.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.models.build import build_model
from lvistk.models.rpn import Proposals
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets

CATEGORIES, INSTANCES = 1203, 12
Images = list[tuple[Tensor, Tensor, Tensor]]  # boxes (12, 4), labels (12,), proposals (1000, 4)


@dataclass(frozen=True)
class Step:
    """What is run: ``model`` is ``ours`` or ``torchvision``; sizes in pixels."""

    model: str
    count: int = 2
    height: int = 480
    width: int = 640
    device: str = "cpu"
    precision: str = "fp32"
    channels_last: bool = False
    frozen: bool = False  # torchvision's stem, res2 and batch norm, as ours always are

    def some_images(self) -> Images:
        size = {"height": self.height, "width": self.width}
        gt = [some_gt(seed, **size) for seed in range(self.count)]
        return [(*one, some_proposals(one[0], seed, **size)) for seed, one in enumerate(gt)]


class RectangleMasks:
    """Masks of the whole ground truth box, so that the cost of polygons is in neither model's time."""

    def __init__(self, boxes: Tensor) -> None:
        self.boxes = boxes

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device) -> "RectangleMasks":
        return RectangleMasks(self.boxes.to(device))

    def crop(self, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
        steps = (torch.arange(size, device=boxes.device) + 0.5) / size
        x = boxes[:, 0, None] + steps * (boxes[:, 2] - boxes[:, 0])[:, None]
        y = boxes[:, 1, None] + steps * (boxes[:, 3] - boxes[:, 1])[:, None]
        gt = self.boxes[instances]
        in_x = (x >= gt[:, :1]) & (x < gt[:, 2:3])
        in_y = (y >= gt[:, 1:2]) & (y < gt[:, 3:])
        return (in_x[:, None, :] & in_y[:, :, None]).float()


def some_gt(seed: int, *, height: int = 480, width: int = 640) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = 24 + 200 * torch.rand(INSTANCES, 2, generator=generator)
    corner = torch.rand(INSTANCES, 2, generator=generator) * (
        torch.tensor([width, height]) - size
    ).clamp(min=1)
    labels = torch.randint(0, CATEGORIES, (INSTANCES,), generator=generator)
    return torch.cat([corner, corner + size], dim=1), labels


def some_proposals(boxes: Tensor, seed: int, *, height: int = 480, width: int = 640) -> Tensor:
    """1000 boxes of which over 128 overlap ground truth instances by half: near copies of them,
    and random ones."""
    generator = torch.Generator().manual_seed(seed)
    copies = boxes.repeat(17, 1)  # 204
    side = (copies[:, 2:] - copies[:, :2]).repeat(1, 2)
    near = copies + 0.08 * side * (torch.rand(copies.shape, generator=generator) - 0.5)
    corner = torch.rand(796, 2, generator=generator) * torch.tensor([width - 40, height - 40])
    far = torch.cat([corner, corner + 8 + 30 * torch.rand(796, 2, generator=generator)], dim=1)
    return torch.cat([near, far])


def ours(step: Step) -> tuple[nn.Module, Callable[[], Tensor]]:
    device = torch.device(step.device)
    # torchvision's samples per bin; the rest is the default recipe.
    changes = {
        "classifier": {"kind": "softmax"},
        "box": {"sampling_ratio": 2},
        "mask": {"sampling_ratio": 2},
    }
    settings = update(ModelSettings(), changes, where="bench")
    model = build_model(settings, categories_of(np.full(CATEGORIES, 200))).train().to(device)
    images = torch.randint(0, 256, (step.count, 3, step.height, step.width), dtype=torch.uint8)
    batch = ImageBatch(images, torch.tensor([[step.height, step.width]] * step.count))
    batch = batch.to(device, channels_last=step.channels_last)
    if step.channels_last:
        model = model.to(memory_format=torch.channels_last)
    count = step.some_images()
    targets = [targets_of(*gt, area_ratio=torch.ones(INSTANCES)).to(device) for *gt, _ in count]
    proposals = [boxes.to(device) for _, _, boxes in count]
    propose = model.rpn.propose

    def forced(*args, **keywords):  # the RPN does its work, then others take its place
        found = propose(*args, **keywords)
        return [
            Proposals(boxes, boxes.new_zeros(len(boxes)))
            for boxes, _ in zip(proposals, found, strict=True)
        ]

    model.rpn.propose = forced
    return model, lambda: torch.stack(list(model.losses(batch, targets).values())).sum()


def categories_of(counts: np.ndarray) -> Categories:
    """CATEGORIES of them, with ``counts`` images and instances each."""
    return Categories(
        ids=np.arange(1, CATEGORIES + 1),
        names=tuple(map(str, range(CATEGORIES))),
        frequency=np.array(["f"] * CATEGORIES),
        image_count=counts,
        instance_count=counts,
    )


def targets_of(boxes: Tensor, labels: Tensor, *, area_ratio: Tensor, seed: int = 0) -> Targets:
    return Targets(
        boxes=boxes,
        labels=labels,
        masks=RectangleMasks(boxes),
        area_ratio=area_ratio,
        ignore_boxes=torch.zeros(0, 4),
        negative_labels=torch.zeros(0, dtype=torch.int64),
        not_exhaustive_labels=torch.zeros(0, dtype=torch.int64),
        seed=seed,
    )


def theirs(step: Step) -> tuple[nn.Module, Callable[[], Tensor]]:
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50",
        weights=None,
        norm_layer=torchvision.ops.FrozenBatchNorm2d if step.frozen else nn.BatchNorm2d,
        trainable_layers=3 if step.frozen else 5,
    )
    model = torchvision.models.detection.MaskRCNN(
        backbone, num_classes=CATEGORIES + 1, min_size=step.height, max_size=step.width
    )
    model = model.train().to(step.device)
    if step.channels_last:
        model = model.to(memory_format=torch.channels_last)
    images = [torch.rand(3, step.height, step.width).to(step.device) for _ in range(step.count)]
    targets, proposals = [], []
    for boxes, labels, near in step.some_images():
        masks = torch.zeros(INSTANCES, step.height, step.width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        gt = {"boxes": boxes, "labels": labels + 1, "masks": masks}
        targets.append({name: value.to(step.device) for name, value in gt.items()})
        proposals.append(near.to(step.device))
    propose = model.rpn.forward

    def forced(*args, **keywords):
        _, losses = propose(*args, **keywords)
        return proposals, losses

    model.rpn.forward = forced
    return model, lambda: torch.stack(list(model(images, targets).values())).sum()


def measure(step: Step, *, steps: int, profiled: bool) -> dict[str, float]:
    """Seconds and processor seconds of the best step after one, and peak memory in GB."""
    torch.manual_seed(0)
    model, loss = ours(step) if step.model == "ours" else theirs(step)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9)
    device = torch.device(step.device)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=step.precision == "bf16"):
            total = loss()
        total.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds, processor = [], []
    for _ in range(steps + 1):  # the first warms up
        start, start_processor = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    best = min(seconds[1:])
    result = {
        "seconds": best,
        "processor_seconds": min(processor[1:]),
        "photos_per_second": step.count / best,
        "peak_gb": _peak_gb(device),
    }
    if profiled:
        print(_profile(run, device))
    return result


def _peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1024**3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _profile(run: Callable[[], None], device: torch.device) -> str:
    """A table of where one step's time goes, by operator."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        run()
    return profiler.key_averages().table(sort_by=f"self_{device.type}_time_total", row_limit=25)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=("ours", "torchvision"))
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="a further step, by operator")
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--frozen", action="store_true")
    return parser


def main() -> None:
    given = vars(arguments().parse_args())
    steps, profiled = given.pop("steps"), given.pop("profile")
    torch.set_num_threads(2)
    print(json.dumps(measure(Step(**given), steps=steps, profiled=profiled)))


if __name__ == "__main__":
    main()
