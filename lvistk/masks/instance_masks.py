"""Instance masks of training targets: exact on the CPU, one batched operation on a GPU.

``ImageMasks`` crops each RoI from the polygons (or bitmaps) themselves. ``FrameMasks`` holds each instance
once as F x F pixels of its own box and resamples them where the RoIs are, without waiting for the
device. ``docs/benchmarks.md`` has their speed and how far they agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lvistk.masks.bitmaps import Bitmap
from lvistk.masks.polygons import Polygons, starts
from lvistk.masks.roi_crops import crop_bitmaps, crop_polygons

FRAME = 112
"""Side of a frame: four pixels a cell of a 28 x 28 target."""


@dataclass(eq=False)
class ImageMasks:
    """Masks of G instances on the CPU (an ``InstanceMasks``); an instance is polygons or a bitmap.

    points: (P, 2) float64 of all polygons, x before y
    part_start, instance_start: (R + 1,) and (G + 1,) int64, as in ``Polygons``
    pixels: (X,) uint8 of all bitmaps, row by row
    pixel_start: (G + 1,) int64, where each bitmap starts; polygons have none
    pixel_box: (G, 4) int64 xyxy of the bitmaps; zeros for polygons
    boxes: (G, 4) float32 xyxy, tight
    size: height and width of the image, at whose border bitmaps end

    All lengths are in network-input pixels. Tensors, so that workers hand them over by shared memory.
    """

    points: Tensor
    part_start: Tensor
    instance_start: Tensor
    pixels: Tensor
    pixel_start: Tensor
    pixel_box: Tensor
    boxes: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.instance_start) - 1

    @classmethod
    def build(
        cls,
        polygons: Polygons,
        *,
        boxes: np.ndarray,
        size: tuple[int, int],
        bitmaps: Mapping[int, Bitmap] | None = None,
    ) -> "ImageMasks":
        """Masks of G instances, all in network-input pixels.

        boxes: (G, 4) xyxy, tight
        size: height and width of the image
        bitmaps: of those instances that have no polygon
        """
        count = len(polygons)
        lengths, pixel_box = np.zeros(count, np.int64), np.zeros((count, 4), np.int64)
        for i, bitmap in (bitmaps or {}).items():
            lengths[i], pixel_box[i] = bitmap.pixels.size, bitmap.box
        flat = [bitmap.pixels.reshape(-1) for _, bitmap in sorted((bitmaps or {}).items())]
        return cls(
            points=torch.from_numpy(np.array(polygons.points, np.float64)),
            part_start=torch.from_numpy(np.array(polygons.part_start)),
            instance_start=torch.from_numpy(np.array(polygons.instance_start)),
            pixels=torch.from_numpy(np.concatenate(flat) if flat else np.zeros(0, np.uint8)),
            pixel_start=torch.from_numpy(starts(lengths)),
            pixel_box=torch.from_numpy(pixel_box),
            boxes=torch.from_numpy(np.array(boxes, np.float32).reshape(-1, 4)),
            size=size,
        )

    def crop(self, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
        """Mask targets (K, size, size) float32 of 0 and 1, by detectron2's rules for both kinds."""
        chosen, rois = instances.numpy(), boxes.detach().to(torch.float32).contiguous().numpy()
        masks = crop_polygons(
            self.points.numpy(),
            self.part_start.numpy(),
            self.instance_start.numpy(),
            chosen,
            rois,
            size,
        )
        if len(self.pixels):
            masks |= crop_bitmaps(
                self.pixels.numpy(),
                self.pixel_start.numpy(),
                self.pixel_box.numpy(),
                self.size,
                chosen,
                rois,
                size,
            )
        return torch.from_numpy(masks).to(torch.float32)

    def frames(self, side: int = FRAME) -> "FrameMasks":
        """Every instance drawn once, ``side`` x ``side`` pixels, in its own tight box."""
        drawn = self.crop(torch.arange(len(self)), self.boxes, side)
        return FrameMasks(drawn.to(torch.uint8), self.boxes)

    def to(self, device: torch.device) -> "ImageMasks | FrameMasks":
        """Itself on the CPU; elsewhere its frames there."""
        return self if device.type == "cpu" else self.frames().to(device)

    def pin_memory(self) -> "ImageMasks":
        """Itself: polygons stay on the CPU."""
        return self


@dataclass(eq=False)
class FrameMasks:
    """Masks of G instances, each drawn in its own box (an ``InstanceMasks``).

    frames: (G, F, F) uint8 of 0 and 1
    boxes: (G, 4) float32 xyxy in network-input pixels
    """

    frames: Tensor
    boxes: Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def crop(self, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
        """Mask targets (K, size, size) float32 of 0 and 1.

        A cell is 1 where the frame, interpolated at the cell's centre, is at least half. One gather and one
        ``grid_sample``; nothing waits for the device.
        """
        if not len(self) or not len(boxes):
            return boxes.new_zeros((len(boxes), size, size))
        own = self.boxes[instances]  # (K, 4)
        steps = (torch.arange(size, device=boxes.device, dtype=torch.float32) + 0.5) / size
        rois = boxes.detach().to(torch.float32)
        axes = []
        for low, high in ((0, 2), (1, 3)):
            centres = rois[:, low, None] + steps * (rois[:, high] - rois[:, low])[:, None]  # (K, M)
            sides = (own[:, high] - own[:, low]).clamp(min=1e-3)[:, None]
            axes.append((centres - own[:, low, None]) / sides * 2 - 1)
        x, y = (axis.clamp(-4, 4) for axis in axes)
        grid = torch.stack(
            [x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1
        )  # (K, M, M, 2)
        frames = self.frames[instances, None].to(torch.float32)  # (K, 1, F, F)
        sampled = F.grid_sample(frames, grid, mode="bilinear", align_corners=False)
        return (sampled[:, 0] >= 0.5).to(torch.float32)

    def to(self, device: torch.device) -> "FrameMasks":
        """The same masks on ``device``."""
        return FrameMasks(
            self.frames.to(device, non_blocking=True), self.boxes.to(device, non_blocking=True)
        )

    def pin_memory(self) -> "FrameMasks":
        """The same masks in page-locked memory."""
        return FrameMasks(self.frames.pin_memory(), self.boxes.pin_memory())
