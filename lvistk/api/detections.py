"""What a model detects in one image, in the forms that people go on with."""

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lvistk.api.pictures import Picture
from lvistk.data.exchange.result_records import box_records_of, mask_records_of
from lvistk.data.images.decode import read_image
from lvistk.drawing import captions, draw_instances
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections

SHOWN = 5
"""Categories that the text of an image's detections counts."""


class ImageDetections:
    """N detections of one image, best score first.

    detections: boxes, scores, labels and RLE masks.
    categories: of the model.
    source: the image's file, or the name that it was given.
    pixels: (H, W, 3) uint8 RGB of an image that was in memory; None for a file, which ``draw`` reads.
    """

    def __init__(
        self,
        detections: Detections,
        categories: Categories,
        *,
        source: Path,
        pixels: np.ndarray | None = None,
    ) -> None:
        self.detections = detections
        self.categories = categories
        self.source = source
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self.detections)

    def __repr__(self) -> str:
        """``3 detections in street.jpg (640 x 480): 2 dog, 1 cat``."""
        height, width = self.size
        counts = Counter(self.names).most_common()
        shown = [f"{count} {name}" for name, count in counts[:SHOWN]]
        shown += [f"{len(counts) - SHOWN} more categories"] if len(counts) > SHOWN else []
        plural = "" if len(self) == 1 else "s"
        text = f"{len(self)} detection{plural} in {self.source} ({width} x {height})"
        return f"{text}: {', '.join(shown)}" if shown else text

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.detections.size

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32 xyxy in pixels of the image."""
        return self.detections.boxes

    @property
    def scores(self) -> np.ndarray:
        """(N,) float32, 0 to 1."""
        return self.detections.scores

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32, index of each detection's category in the model's ``names``."""
        return self.detections.labels

    @property
    def names(self) -> list[str]:
        """The N names of the detections' categories."""
        return [self.categories.names[label] for label in self.labels.tolist()]

    @property
    def category_ids(self) -> np.ndarray:
        """(N,) int64, ids of the detections' categories in the data that the model was trained on."""
        return self.categories.ids[self.labels]

    @property
    def mask_scores(self) -> np.ndarray | None:
        """(N,) float32, score times predicted mask IoU; None for a model without mask scoring."""
        return self.detections.mask_scores

    @property
    def rle(self) -> list[bytes] | None:
        """N masks as compressed RLE counts of COCO; None for a model without masks."""
        return self.detections.masks

    @cached_property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool, decoded when they are first asked for; ``UserError`` for a model without masks."""
        if self.rle is None:
            raise UserError(f"{self.source}: the model has no mask head, so there are boxes only")
        bitmaps = [rle.decode(mask, self.size).astype(bool) for mask in self.rle]
        return np.stack(bitmaps) if bitmaps else np.zeros((0, *self.size), bool)

    def __getitem__(self, keep: int | slice | np.ndarray | list[int]) -> "ImageDetections":
        """Some of the detections: by number, slice, indices or a bool array ``scores > 0.5``."""
        chosen = np.atleast_1d(np.arange(len(self))[keep])
        picked = self.detections.select(chosen)
        return ImageDetections(picked, self.categories, source=self.source, pixels=self._pixels)

    def draw(self, *, min_score: float = 0.0) -> Picture:
        """The image with masks, boxes, names and scores.

        min_score: detections that score less are left out.
        """
        kept = self.detections.select(self.scores >= min_score)
        pixels = self._pixels
        if pixels is None:
            pixels = read_image(self.source)[:, :, ::-1]
        return Picture(
            draw_instances(
                np.ascontiguousarray(pixels),
                boxes=kept.boxes,
                labels=kept.labels,
                masks=kept.masks,
                captions=captions(kept.labels, kept.scores, names=self.categories.names),
            )
        )

    def to_lvis(
        self,
        *,
        image_id: int | str | None = None,
        kind: Literal["both", "segm", "bbox"] = "both",
    ) -> list[dict[str, Any]]:
        """N records of LVIS and COCO results: image_id, category_id, score, bbox (xywh), segmentation.

        image_id: the image's id in the annotation file; by default its file name, which ``evaluate``
            takes too.
        kind: ``segm`` without bbox and ranked by mask score, ``bbox`` without segmentation. Official code
            judges records with both by the area of the box.
        """
        number = self.source.name if image_id is None else image_id
        ids, image = self.categories.ids, self.detections
        if kind == "segm" and image.masks is None:
            raise UserError(f"{self.source}: the model has no mask head; use kind='bbox'")
        if kind == "segm":
            records = mask_records_of(image, ids)
        else:
            records = box_records_of(image, ids)
        rows = [{**record, "image_id": number} for record in records]
        if kind == "both" and image.masks is not None:
            order = np.argsort(-image.scores, kind="stable").tolist()
            for row, k in zip(rows, order, strict=True):
                counts = image.masks[k].decode("ascii")
                row["segmentation"] = {"size": list(image.size), "counts": counts}
        return rows

    def to_supervision(self) -> Any:
        """``supervision.Detections`` with masks, and the names as ``data["class_name"]``.

        Raises ``UserError`` where the package supervision is not installed.
        """
        try:
            import supervision  # pyright: ignore[reportMissingImports]  # not one of ours
        except ModuleNotFoundError:
            raise UserError(
                "to_supervision needs the package supervision: pip install supervision"
            ) from None
        return supervision.Detections(
            xyxy=self.boxes,
            mask=None if self.rle is None or not len(self) else self.masks,
            confidence=self.scores,
            class_id=self.labels.astype(int),
            data={"class_name": np.array(self.names, dtype=str)},
        )
