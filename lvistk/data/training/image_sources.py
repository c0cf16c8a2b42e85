"""Where training images come from: annotated files, and whatever else offers labelled images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lvistk.data.augment.mosaic import Labels
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.instances import Instances
from lvistk.data.store.detection_store import DetectionStore
from lvistk.masks.bitmaps import bitmap_from_rle
from lvistk.masks.polygons import Polygons, rectangles
from lvistk.structures.detections import Detections


@dataclass(eq=False)
class SourceImage:
    """An image that is not decoded yet. ``size`` (height, width) after ``rotation`` (counter-clockwise
    degrees); ``weight`` of its losses, ``mask_weight`` besides of its mask losses."""

    path: Path
    image_id: int
    size: tuple[int, int]
    labels: Labels
    rotation: int = 0
    weight: float = 1.0
    mask_weight: float = 1.0


class ImageSource(Protocol):
    """Images with labels by row; cheap to hand to worker processes."""

    def __len__(self) -> int: ...

    def image(self, row: int) -> SourceImage: ...

    def wide(self, rows: np.ndarray) -> np.ndarray:
        """Whether each image (N,) is wider than high: bool (N,)."""
        ...


class AnnotatedImages:
    """The images of an annotation index, with missing annotations from a store."""

    def __init__(
        self,
        index: AnnotationIndex,
        root: Path,
        *,
        missing: DetectionStore | None = None,
        missing_score: float = 0.0,
    ) -> None:
        self.index, self.root = index, root
        self._missing, self._missing_score = missing, missing_score

    def __len__(self) -> int:
        return len(self.index)

    def wide(self, rows: np.ndarray) -> np.ndarray:
        return self.index.widths[rows] > self.index.heights[rows]

    def image(self, row: int) -> SourceImage:
        index = self.index
        size = (int(index.heights[row]), int(index.widths[row]))
        image_id = int(index.image_ids[row])
        return SourceImage(
            path=index.image_path(row, self.root),
            image_id=image_id,
            size=size,
            labels=Labels(
                instances=index.annotations(row),
                missing=self._missing_instances(image_id),
                negative=np.asarray(index.negative_labels(row), np.int64),
                not_exhaustive=np.asarray(index.not_exhaustive_labels(row), np.int64),
            ),
        )

    def _missing_instances(self, image_id: int) -> Instances:
        if self._missing is None:
            return Instances.empty()
        rows = self._missing.rows(image_id)
        if not len(rows):
            return Instances.empty()
        detections = self._missing[int(rows[0])]
        return instances_from_detections(
            detections.select(detections.scores >= self._missing_score)
        )


def instances_from_detections(detections: Detections, *, weighted: bool = False) -> Instances:
    """Detections as instances; one without a mask is its box, one of an empty mask is left out.

    weighted: losses of an instance count times its score.
    """
    masks, weights = detections.masks, detections.scores if weighted else None
    if masks is None:
        return _of_boxes(detections, weights)
    bitmaps = [bitmap_from_rle(counts, detections.size) for counts in masks]
    kept = [i for i, bitmap in enumerate(bitmaps) if bitmap is not None]
    filled = {new: bitmap for new, i in enumerate(kept) if (bitmap := bitmaps[i]) is not None}
    return Instances(
        labels=detections.labels[kept].astype(np.int64),
        boxes=np.array([b.box for b in filled.values()], np.float32).reshape(-1, 4),
        areas=np.array([b.area for b in filled.values()], np.float64),
        polygons=Polygons.from_lists([[] for _ in kept]),
        bitmaps=filled,
        weights=None if weights is None else weights[kept],
    )


def _of_boxes(detections: Detections, weights: np.ndarray | None) -> Instances:
    boxes = detections.boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    return Instances(
        labels=detections.labels.astype(np.int64),
        boxes=boxes,
        areas=(sides[:, 0] * sides[:, 1]).astype(np.float64),
        polygons=rectangles(boxes),
        bitmaps={},
        weights=weights,
    )
