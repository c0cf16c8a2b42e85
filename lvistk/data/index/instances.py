"""The annotated instances of one image on their way through augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lvistk.config.train import AugmentSettings
from lvistk.masks.bitmaps import Bitmap, bitmap_from_polygons
from lvistk.masks.clipping import Rectangle, clip_polygons
from lvistk.masks.polygons import Polygons, concatenate_polygons, map_polygons, select_polygons
from lvistk.masks.union_area import union_areas


@dataclass(eq=False)
class Instances:
    """G instances. ``labels (G,)`` int64; ``boxes (G, 4)`` float32 xyxy; ``areas (G,)`` float64 mask area;
    ``polygons`` of G instances, without parts where the mask is a bitmap; ``bitmaps`` by instance."""

    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    polygons: Polygons
    bitmaps: dict[int, Bitmap]

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

    def bitmap(self, i: int, size: tuple[int, int]) -> Bitmap | None:
        """Object ``i`` as a tight bitmap within a picture of ``size`` (height, width); None when empty."""
        found = self.bitmaps.get(i) or bitmap_from_polygons(self.polygons.parts(i))
        if found is None:
            return None
        height, width = size
        left, top = max(-found.x, 0), max(-found.y, 0)
        pixels = found.pixels[top : max(height - found.y, 0), left : max(width - found.x, 0)]
        return Bitmap(found.x + left, found.y + top, pixels).tighten()

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
        )

    def warp(
        self, matrix: np.ndarray, rectangle: Rectangle, *, settings: AugmentSettings
    ) -> "Instances":
        """The instances under ``matrix`` (3, 3), clipped to ``rectangle`` of whole numbers.

        Boxes are tight around the clipped masks, or with ``tight_boxes`` off the clipped envelopes of
        the warped boxes. Instances of less than ``min_area`` or less than ``min_kept`` of their
        unclipped area are dropped.
        """
        if not len(self):
            return self
        full_areas = self.areas * abs(np.linalg.det(matrix[:2, :2]))
        clipped = clip_polygons(map_polygons(self.polygons, matrix), rectangle)
        boxes, areas = clipped.boxes, full_areas.copy()
        touched = np.flatnonzero(clipped.touched)
        areas[touched] = np.minimum(
            union_areas(select_polygons(clipped.polygons, touched)), full_areas[touched]
        )
        bitmaps = {}
        for i, bitmap in self.bitmaps.items():
            warped = bitmap.warp(matrix, rectangle)
            boxes[i], areas[i] = 0.0, 0.0
            if warped is not None:
                bitmaps[i], boxes[i], areas[i] = warped, warped.box, warped.area
        kept = (areas >= settings.min_area) & (areas >= settings.min_kept * full_areas)
        kept &= boxes[:, 0] < boxes[:, 2]
        if not settings.tight_boxes:
            boxes = envelopes(self.boxes, matrix, rectangle)
        warped = Instances(
            labels=self.labels,
            boxes=boxes.astype(np.float32),
            areas=areas,
            polygons=clipped.polygons,
            bitmaps=bitmaps,
        )
        return warped.select(np.flatnonzero(kept))


def envelopes(boxes: np.ndarray, matrix: np.ndarray, rectangle: Rectangle) -> np.ndarray:
    """Upright boxes (G, 4) around warped boxes (G, 4), clipped to ``rectangle``."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (G, 4, 2)
    mapped = corners @ matrix[:2, :2].T + matrix[:2, 2]
    low = np.maximum(mapped.min(axis=1), rectangle[:2])
    high = np.minimum(mapped.max(axis=1), rectangle[2:])
    return np.concatenate([low, np.maximum(high, low)], axis=1)
