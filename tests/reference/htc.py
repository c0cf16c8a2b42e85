"""Hybrid Task Cascade at inference, from its description (arXiv 1901.07518), box by box.

Parameters have mmdetection's names. Slow and plain; imports nothing of the package under test.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (1 / 30, 1 / 30, 1 / 15, 1 / 15))


def parameters(*, channels: int, hidden: int, classes: int, generator: torch.Generator):
    """Random weights of the RoI heads under mmdetection's names."""

    def draw(*shape: int) -> Tensor:
        fan_in = max(1, math.prod(shape[1:]))
        return torch.randn(shape, generator=generator) * 1.4 / math.sqrt(fan_in)

    table: dict[str, Tensor] = {}

    def layer(name: str, *shape: int, scale: float = 1.0, outputs: int | None = None) -> None:
        table[f"{name}.weight"] = scale * draw(*shape)
        table[f"{name}.bias"] = 0.1 * draw(shape[0] if outputs is None else outputs)

    for stage in range(3):
        box, mask = f"roi_head.bbox_head.{stage}", f"roi_head.mask_head.{stage}"
        layer(f"{box}.shared_fcs.0", hidden, channels * 49)
        layer(f"{box}.shared_fcs.1", hidden, hidden)
        layer(f"{box}.fc_cls", classes + 1, hidden)
        layer(f"{box}.fc_reg", 4, hidden, scale=0.3)
        if stage:
            layer(f"{mask}.conv_res.conv", channels, channels, 1, 1)
        for index in range(4):
            layer(f"{mask}.convs.{index}.conv", channels, channels, 3, 3)
        layer(f"{mask}.upsample", channels, channels, 2, 2)
        layer(f"{mask}.conv_logits", classes, channels, 1, 1)
    return table


class HybridTaskCascade:
    def __init__(self, table: dict[str, Tensor], size: tuple[int, int]) -> None:
        self.table = table
        self.height, self.width = size

    def weights(self, name: str) -> tuple[Tensor, Tensor]:
        return self.table[f"roi_head.{name}.weight"], self.table[f"roi_head.{name}.bias"]

    def pool(self, features: list[Tensor], box: Tensor, size: int) -> Tensor:
        x1, y1, x2, y2 = box.tolist()
        level = math.floor(math.log2(math.sqrt((x2 - x1) * (y2 - y1)) / 56 + 1e-6))
        level = min(max(level, 0), 3)
        roi = torch.cat([torch.zeros(1), box])[None]
        return roi_align(features[level], roi, size, 1 / 2 ** (level + 2), 0, True)

    def box_head(self, stage: int, features: list[Tensor], box: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool(features, box, 7).flatten(1)
        for index in range(2):
            x = F.relu(F.linear(x, *self.weights(f"bbox_head.{stage}.shared_fcs.{index}")))
        logits = F.linear(x, *self.weights(f"bbox_head.{stage}.fc_cls"))[0]
        return logits, F.linear(x, *self.weights(f"bbox_head.{stage}.fc_reg"))[0]

    def regress(self, stage: int, box: Tensor, deltas: Tensor) -> Tensor:
        x1, y1, x2, y2 = box.tolist()
        dx, dy, dw, dh = (d * s for d, s in zip(deltas.tolist(), STDS[stage], strict=True))
        limit = math.log(1000 / 16)
        w = (x2 - x1) * math.exp(min(dw, limit))
        h = (y2 - y1) * math.exp(min(dh, limit))
        x = (x1 + x2) / 2 + dx * (x2 - x1)
        y = (y1 + y2) / 2 + dy * (y2 - y1)
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        limits = (self.width, self.height, self.width, self.height)
        return torch.tensor([min(max(c, 0.0), m) for c, m in zip(corners, limits, strict=True)])

    def detect(self, features: list[Tensor], proposal: Tensor) -> tuple[Tensor, Tensor]:
        """Final box (4,) and class probabilities (classes + 1,) of one proposal."""
        box, collected = proposal, []
        for stage in range(3):
            logits, deltas = self.box_head(stage, features, box)
            collected.append(logits)
            box = self.regress(stage, box, deltas)
        return box, ((collected[0] + collected[1] + collected[2]) / 3).softmax(0)

    def mask(self, features: list[Tensor], box: Tensor, label: int) -> Tensor:
        """Mask probabilities (28, 28) of one final box, mean of the three heads."""
        pooled = self.pool(features, box, 14)
        last, total = None, torch.zeros(28, 28)
        for stage in range(3):
            name = f"mask_head.{stage}"
            x = pooled
            if last is not None:
                x = x + F.relu(F.conv2d(last, *self.weights(f"{name}.conv_res.conv")))
            for index in range(4):
                x = F.relu(F.conv2d(x, *self.weights(f"{name}.convs.{index}.conv"), padding=1))
            last = x
            x = F.relu(F.conv_transpose2d(x, *self.weights(f"{name}.upsample"), stride=2))
            total += F.conv2d(x, *self.weights(f"{name}.conv_logits"))[0, label].sigmoid()
        return total / 3
