"""Small models, categories and targets for the tests of this folder."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.models.build import build_model
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets

SMALL = {
    "backbone": {"name": "resnet18", "width": 0.25, "norm": "gn", "frozen_stages": 0},
    "fpn": {"channels": 16},
    "rpn": {"post_nms_train": 100, "post_nms_test": 100},
    "box": {"fc_channels": 32, "batch_per_image": 64},
    "mask": {"channels": 16},
}
CASCADE = {
    "cascade": {
        "ious": [0.5, 0.6, 0.7],
        "loss_weights": [1.0, 0.5, 0.25],
        "box_weights": [[10.0, 10.0, 5.0, 5.0], [20.0, 20.0, 10.0, 10.0], [30.0, 30.0, 15.0, 15.0]],
        "mask_every_stage": True,
    },
    "box": {"class_agnostic": True, "smooth_l1_beta": 1.0},
}
HTC = {**CASCADE, "cascade": {**CASCADE["cascade"], "interleaved": True, "mask_flow": True}}
ALL_MASK_PARTS = {
    "mask": {
        "extra_convs": 3,
        "boundary": True,
        "deform_pool": "v1",
        "assignment": "fpn",
        "loss": "balanced",
        "mask_iou": True,
    }
}


class EllipseMasks:
    """Masks that fill the ellipse of each ground truth instance box: real crops without real
    polygons."""

    def __init__(self, boxes: Tensor) -> None:
        self.boxes = boxes

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device) -> "EllipseMasks":
        return EllipseMasks(self.boxes.to(device))

    def crop(self, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
        steps = (torch.arange(size, device=boxes.device) + 0.5) / size
        x = boxes[:, 0, None] + steps * (boxes[:, 2] - boxes[:, 0])[:, None]  # (K, size)
        y = boxes[:, 1, None] + steps * (boxes[:, 3] - boxes[:, 1])[:, None]
        gt = self.boxes[instances]
        center = (gt[:, :2] + gt[:, 2:]) / 2
        half = (gt[:, 2:] - gt[:, :2]) / 2
        dx = ((x - center[:, :1]) / half[:, :1]) ** 2
        dy = ((y - center[:, 1:]) / half[:, 1:]) ** 2
        return (dx[:, None, :] + dy[:, :, None] <= 1).float()


def merged(*tables: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def small_settings(*changes: dict[str, Any]) -> ModelSettings:
    return update(ModelSettings(), merged(SMALL, *changes), where="test")


def some_categories(number: int = 7) -> Categories:
    counts = np.array([3, 20, 200, 2000, 5, 50, 500] * (number // 7 + 1))[:number]
    return Categories(
        ids=np.arange(1, number + 1),
        names=tuple(f"thing {index}" for index in range(number)),
        frequency=np.array(["f"] * number),
        image_count=counts,
        instance_count=counts,
        annotated_images=2000,
    )


def small_model(*changes: dict[str, Any], categories: int = 7, seed: int = 0) -> MaskRCNN:
    torch.manual_seed(seed)
    return build_model(small_settings(*changes), some_categories(categories))


def some_targets(number: int, *, seed: int = 0, categories: int = 7, **fields: Any) -> Targets:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 8 + 40 * torch.rand(number, 2, generator=generator)], dim=1)
    defaults: dict[str, Any] = {
        "boxes": boxes,
        "labels": torch.randint(0, categories, (number,), generator=generator),
        "masks": EllipseMasks(boxes),
        "area_ratio": torch.full((number,), 0.4),
        "ignore_boxes": torch.zeros(0, 4),
        "negative_labels": torch.zeros(0, dtype=torch.int64),
        "not_exhaustive_labels": torch.zeros(0, dtype=torch.int64),
        "seed": seed,
    }
    return Targets(**(defaults | fields))


def some_batch(*sizes: tuple[int, int], seed: int = 0) -> ImageBatch:
    generator = torch.Generator().manual_seed(seed)
    images = [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
        for size in sizes or ((96, 128), (128, 96))
    ]
    return ImageBatch.stack(images)
