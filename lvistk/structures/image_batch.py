"""Images of one step, padded to one size."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class ImageBatch:
    """B images.

    images: (B, 3, H, W) uint8 RGB
    sizes: (B, 2) int64 on the CPU, height and width before padding

    The model normalises and then sets everything beyond ``sizes`` to zero, so that an image alone and in
    a mixed batch gives the same detections.
    """

    images: Tensor
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def size_list(self) -> list[tuple[int, int]]:
        """``sizes`` as Python numbers; they are on the CPU, so this waits for no device."""
        return [(int(h), int(w)) for h, w in self.sizes.tolist()]

    def to(self, device: torch.device, *, channels_last: bool = False) -> "ImageBatch":
        """Images on ``device``; ``sizes`` stay on the CPU."""
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return ImageBatch(
            self.images.to(device, non_blocking=True, memory_format=layout), self.sizes
        )

    def pin_memory(self) -> "ImageBatch":
        """The same batch in page-locked memory, from which it is copied to a device without waiting."""
        return ImageBatch(self.images.pin_memory(), self.sizes)

    @classmethod
    def stack(cls, tensors: Sequence[Tensor], *, divisor: int = 32) -> "ImageBatch":
        """Images (3, h, w) uint8, each in the upper left of one tensor; ``divisor`` divides its sides."""
        sizes = torch.tensor([tensor.shape[-2:] for tensor in tensors], dtype=torch.int64).view(
            -1, 2
        )
        height, width = (-(-int(side) // divisor) * divisor for side in sizes.amax(0))
        images = torch.zeros((len(tensors), 3, height, width), dtype=torch.uint8)
        for image, tensor in zip(images, tensors, strict=True):
            image[:, : tensor.shape[1], : tensor.shape[2]] = tensor
        return cls(images, sizes)
