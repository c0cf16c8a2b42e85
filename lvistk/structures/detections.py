"""Detections of one image, in numpy: what inference returns and the detection store holds."""

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Detections:
    """N detections of one image, best box score first.

    image_id: id of the image in its annotation file
    size: height and width of the original image, in pixels
    boxes: (N, 4) float32 xyxy in pixels of the original image
    scores: (N,) float32, 0 to 1; boxes are ranked by these
    labels: (N,) int32 in 0..C-1
    masks: N compressed RLE ``bytes`` of ``size``; None where only boxes are known
    mask_scores: (N,) float32, score times predicted mask IoU, by which masks are ranked; None without
        mask scoring
    annotation_ids: (N,) int64, of detections that are the annotations of a file; None for others
    """

    image_id: int
    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: list[bytes] | None = None
    mask_scores: np.ndarray | None = None
    annotation_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, keep: np.ndarray) -> "Detections":
        """The detections at ``keep``: indices (K,) or a boolean mask (N,)."""
        indices = np.flatnonzero(keep) if keep.dtype == bool else keep
        return Detections(
            image_id=self.image_id,
            size=self.size,
            boxes=self.boxes[indices],
            scores=self.scores[indices],
            labels=self.labels[indices],
            masks=None if self.masks is None else [self.masks[i] for i in indices],
            mask_scores=None if self.mask_scores is None else self.mask_scores[indices],
            annotation_ids=None if self.annotation_ids is None else self.annotation_ids[indices],
        )

    @classmethod
    def empty(cls, image_id: int, size: tuple[int, int]) -> "Detections":
        """No detections (N = 0) of an image, masks included."""
        return cls(
            image_id=image_id,
            size=size,
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            labels=np.zeros(0, np.int32),
            masks=[],
        )
