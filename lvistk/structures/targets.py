"""Training targets of one image: boxes, labels, masks, ignored regions, federated lists."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor


class InstanceMasks(Protocol):
    """Masks of G instances of one image, kept small until an RoI needs pixels."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> "InstanceMasks":
        """The same masks where ``device`` can crop them."""
        ...

    def pin_memory(self) -> "InstanceMasks":
        """The same masks in page-locked memory, if they are ever copied to a device."""
        ...

    def crop(self, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
        """Mask targets (K, size, size) float32 of 0 and 1; K = 0 gives (0, size, size).

        instances: (K,) int64, which instance each box is matched to
        boxes: (K, 4) xyxy in network-input pixels
        size: side of a target in cells
        """
        ...


@dataclass
class Targets:
    """Ground truth of one image with G instances; lengths in network-input pixels.

    boxes: (G, 4) float32 xyxy
    labels: (G,) int64 in 0..C-1
    masks: of the G instances
    area_ratio: (G,) float32, mask area over box area, 0 to 1
    ignore_boxes: (I, 4) float32 xyxy, missing annotations
    negative_labels: int64, categories verified to be absent
    not_exhaustive_labels: int64, categories of which not every instance is annotated
    loss_weight: factor of the image's loss
    image_id: named in errors
    seed: of every random choice about this sample, so that none depends on workers, ranks or batches
    weights: (G,) float32, factors of the losses of each instance; None: 1 for all
    mask_weight: factor of the image's mask losses, beside ``loss_weight``
    """

    boxes: Tensor
    labels: Tensor
    masks: InstanceMasks
    area_ratio: Tensor
    ignore_boxes: Tensor
    negative_labels: Tensor
    not_exhaustive_labels: Tensor
    loss_weight: float = 1.0
    image_id: int = 0
    seed: int = 0
    weights: Tensor | None = None
    mask_weight: float = 1.0

    def __len__(self) -> int:
        return len(self.labels)

    def generator(self, device: torch.device) -> torch.Generator:
        """A fresh generator of this sample's random choices on ``device``."""
        return torch.Generator(device=device).manual_seed(self.seed)

    def to(self, device: torch.device) -> "Targets":
        """The same targets on ``device``."""
        return Targets(
            boxes=self.boxes.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            masks=self.masks.to(device),
            area_ratio=self.area_ratio.to(device, non_blocking=True),
            ignore_boxes=self.ignore_boxes.to(device, non_blocking=True),
            negative_labels=self.negative_labels.to(device, non_blocking=True),
            not_exhaustive_labels=self.not_exhaustive_labels.to(device, non_blocking=True),
            loss_weight=self.loss_weight,
            image_id=self.image_id,
            seed=self.seed,
            weights=None if self.weights is None else self.weights.to(device, non_blocking=True),
            mask_weight=self.mask_weight,
        )

    def pin_memory(self) -> "Targets":
        """The same targets in page-locked memory, from which they are copied to a device without waiting."""
        return replace(
            self,
            boxes=self.boxes.pin_memory(),
            labels=self.labels.pin_memory(),
            masks=self.masks.pin_memory(),
            area_ratio=self.area_ratio.pin_memory(),
            ignore_boxes=self.ignore_boxes.pin_memory(),
            negative_labels=self.negative_labels.pin_memory(),
            not_exhaustive_labels=self.not_exhaustive_labels.pin_memory(),
            weights=None if self.weights is None else self.weights.pin_memory(),
        )
