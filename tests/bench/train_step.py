"""One training step of one model, timed, with its peak memory: a process of test_train_step.

Arguments: ours, ours-channels-last, ours-bf16, ours-80, torchvision or torchvision-frozen; then the
number of steps.
"""

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.models.build import build_model
from lvistk.models.rpn import Proposals
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets

HEIGHT, WIDTH, PHOTOS, INSTANCES, POSITIVES, ROIS = 480, 640, 2, 12, 128, 512


class RectangleMasks:
    """Masks of the whole truth box, so that the cost of polygons is in neither model's time."""

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
        truth = self.boxes[instances]
        in_x = (x >= truth[:, :1]) & (x < truth[:, 2:3])
        in_y = (y >= truth[:, 1:2]) & (y < truth[:, 3:])
        return (in_x[:, None, :] & in_y[:, :, None]).float()


def some_truth(seed: int, categories: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = 24 + 200 * torch.rand(INSTANCES, 2, generator=generator)
    corner = torch.rand(INSTANCES, 2, generator=generator) * (
        torch.tensor([WIDTH, HEIGHT]) - size
    ).clamp(min=1)
    labels = torch.randint(0, categories, (INSTANCES,), generator=generator)
    return torch.cat([corner, corner + size], dim=1), labels


def some_proposals(boxes: Tensor, seed: int) -> Tensor:
    """1000 boxes of which over 128 overlap truths by half: near copies of them, and random ones."""
    generator = torch.Generator().manual_seed(seed)
    copies = boxes.repeat(17, 1)  # 204
    side = (copies[:, 2:] - copies[:, :2]).repeat(1, 2)
    near = copies + 0.08 * side * (torch.rand(copies.shape, generator=generator) - 0.5)
    corner = torch.rand(796, 2, generator=generator) * torch.tensor([WIDTH - 40, HEIGHT - 40])
    far = torch.cat([corner, corner + 8 + 30 * torch.rand(796, 2, generator=generator)], dim=1)
    return torch.cat([near, far])


def ours(
    categories: int, *, precision: str = "fp32", channels_last: bool = False
) -> tuple[nn.Module, Callable[[], Tensor]]:
    counts = np.full(categories, 200)
    table = Categories(
        ids=np.arange(1, categories + 1),
        names=tuple(map(str, range(categories))),
        frequency=np.array(["f"] * categories),
        image_count=counts,
        instance_count=counts,
    )
    # torchvision's samples a bin; the rest is the default recipe.
    changes = {
        "classifier": {"kind": "softmax"},
        "box": {"sampling_ratio": 2},
        "mask": {"sampling_ratio": 2},
    }
    model = build_model(update(ModelSettings(), changes, where="bench"), table).train()
    photos = torch.randint(0, 256, (PHOTOS, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    batch = ImageBatch(photos, torch.tensor([[HEIGHT, WIDTH]] * PHOTOS))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        batch = batch.to(torch.device("cpu"), channels_last=True)
    targets, proposals = [], []
    for photo in range(PHOTOS):
        boxes, labels = some_truth(photo, categories)
        targets.append(
            Targets(
                boxes=boxes,
                labels=labels,
                masks=RectangleMasks(boxes),
                area_ratio=torch.ones(INSTANCES),
                ignore_boxes=torch.zeros(0, 4),
                negative_labels=torch.zeros(0, dtype=torch.int64),
                not_exhaustive_labels=torch.zeros(0, dtype=torch.int64),
                seed=photo,
            )
        )
        proposals.append(some_proposals(boxes, photo))
    propose = model.rpn.propose

    def forced(*args, **keywords):  # the RPN does its work, then others take its place
        found = propose(*args, **keywords)
        return [
            Proposals(boxes, boxes.new_zeros(len(boxes)))
            for boxes, _ in zip(proposals, found, strict=True)
        ]

    model.rpn.propose = forced

    def loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return torch.stack(list(model.losses(batch, targets).values())).sum()

    return model, loss


def theirs(categories: int, *, frozen: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50",
        weights=None,
        norm_layer=torchvision.ops.FrozenBatchNorm2d if frozen else nn.BatchNorm2d,
        trainable_layers=3 if frozen else 5,
    )
    model = torchvision.models.detection.MaskRCNN(
        backbone, num_classes=categories + 1, min_size=HEIGHT, max_size=WIDTH
    ).train()
    photos = [torch.rand(3, HEIGHT, WIDTH) for _ in range(PHOTOS)]
    targets, proposals = [], []
    for photo in range(PHOTOS):
        boxes, labels = some_truth(photo, categories)
        masks = torch.zeros(INSTANCES, HEIGHT, WIDTH, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        targets.append({"boxes": boxes, "labels": labels + 1, "masks": masks})
        proposals.append(some_proposals(boxes, photo))
    propose = model.rpn.forward

    def forced(*args, **keywords):
        _, losses = propose(*args, **keywords)
        return proposals, losses

    model.rpn.forward = forced

    def loss() -> Tensor:
        return torch.stack(list(model(photos, targets).values())).sum()

    return model, loss


def build(kind: str) -> tuple[nn.Module, Callable[[], Tensor]]:
    match kind:
        case "ours":
            return ours(1203)
        case "ours-channels-last":
            return ours(1203, channels_last=True)
        case "ours-bf16":
            return ours(1203, precision="bf16")
        case "ours-80":
            return ours(80)
        case "torchvision":
            return theirs(1203, frozen=False)
        case "torchvision-frozen":
            return theirs(1203, frozen=True)
    raise SystemExit(f"unknown kind {kind}")


def main() -> None:
    kind, steps = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model, loss = build(kind)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-4, momentum=0.9
    )
    seconds, processor = [], []
    for _ in range(steps + 1):  # the first warms up
        start, start_processor = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    result = {
        "seconds": min(seconds[1:]),
        "processor_seconds": min(processor[1:]),
        "peak_gb": peak,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
