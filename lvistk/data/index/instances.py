"""The instances of one image, from the index to the training targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvistk.masks.polygons import Polygons, concatenate_polygons, select_polygons

if TYPE_CHECKING:
    from lvistk.masks.bitmaps import Bitmap  # imports OpenCV


class EncodedBitmaps(Mapping[int, "Bitmap"]):
    """Bitmaps of an image's instances that stay RLE until one is asked for.

    counts: compressed counts by instance, no mask of which is empty
    size: height and width of the image in pixels
    """

    def __init__(self, counts: Mapping[int, bytes], size: tuple[int, int]) -> None:
        self.counts, self.size = counts, size
        self._decoded: dict[int, Bitmap] = {}

    def __getitem__(self, instance: int) -> "Bitmap":
        if instance not in self._decoded:
            from lvistk.masks.bitmaps import bitmap_from_rle  # imports OpenCV

            bitmap = bitmap_from_rle(self.counts[instance], self.size)
            assert bitmap is not None
            self._decoded[instance] = bitmap
        return self._decoded[instance]

    def __contains__(self, instance: object) -> bool:
        return instance in self.counts

    def __iter__(self) -> Iterator[int]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(eq=False)
class Instances:
    """G instances of an image, as they are annotated or on their way through augmentation.

    labels: (G,) integers in 0..C-1
    boxes: (G, 4) float32 xyxy in pixels
    areas: (G,) mask areas in pixels, float32 or float64
    polygons: of the G instances; an instance whose mask is a bitmap has no part
    bitmaps: the masks that are no polygons, by instance
    weights: (G,) float32, factors of the losses of each instance; None: 1 for all
    """

    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    polygons: Polygons
    bitmaps: Mapping[int, "Bitmap"]
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def empty(cls) -> "Instances":
        return cls(
            labels=np.zeros(0, np.int64),
            boxes=np.zeros((0, 4), np.float32),
            areas=np.zeros(0),
            polygons=Polygons.from_lists([]),
            bitmaps={},
        )

    def select(self, keep: np.ndarray) -> "Instances":
        """The instances at ``keep`` (K,), in that order."""
        if len(keep) == len(self) and (keep == np.arange(len(self))).all():
            return self
        return Instances(
            labels=self.labels[keep],
            boxes=self.boxes[keep],
            areas=self.areas[keep],
            polygons=select_polygons(self.polygons, keep),
            bitmaps={
                new: self.bitmaps[old]
                for new, old in enumerate(keep.tolist())
                if old in self.bitmaps
            },
            weights=None if self.weights is None else self.weights[keep],
        )

    @classmethod
    def concatenate(cls, several: Sequence["Instances"]) -> "Instances":
        """The instances of several images, one after the other."""
        if len(several) == 1:
            return several[0]
        offsets = np.cumsum([0, *(len(one) for one in several)])
        return cls(
            labels=np.concatenate([one.labels for one in several]),
            boxes=np.concatenate([one.boxes for one in several]),
            areas=np.concatenate([one.areas for one in several]),
            polygons=concatenate_polygons([one.polygons for one in several]),
            bitmaps={
                int(offset) + i: bitmap
                for offset, one in zip(offsets, several, strict=False)
                for i, bitmap in one.bitmaps.items()
            },
            weights=_joined_weights(several),
        )


def _joined_weights(several: Sequence[Instances]) -> np.ndarray | None:
    if all(one.weights is None for one in several):
        return None
    ones = (np.ones(len(one), np.float32) for one in several)
    return np.concatenate(
        [
            one if own.weights is None else own.weights
            for own, one in zip(several, ones, strict=True)
        ]
    )
