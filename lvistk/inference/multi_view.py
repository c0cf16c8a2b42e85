"""A batch of images in several views: candidates from all views, and masks from any of them."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lvistk.config.inference import MergeSettings, PredictSettings
from lvistk.config.model import ModelSettings
from lvistk.errors import UserError
from lvistk.inference.candidates import Candidates, cut_candidates
from lvistk.inference.image_batches import ImagesInViews
from lvistk.inference.views import View
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Detector(Protocol):
    """What inference needs of a model (``models.mask_rcnn.MaskRCNN`` is one)."""

    settings: ModelSettings
    categories: Categories

    def inference_features(self, batch: ImageBatch) -> list[Tensor]: ...
    def detect_boxes(self, batch: ImageBatch) -> Any: ...
    def predict_masks(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[Any]: ...


@dataclass(eq=False)
class Masks:
    """Masks of N detections: ``probs (N, M, M)`` float32; ``iou (N,)`` predicted, or None."""

    probs: np.ndarray
    iou: np.ndarray | None = None

    def put(self, rows: np.ndarray, probs: np.ndarray, iou: np.ndarray | None) -> None:
        """Set the masks at ``rows`` (K,); the first ones put decide M."""
        if not len(rows):
            return
        if not self.probs.size:
            self.probs = np.zeros((len(self.probs), *probs.shape[1:]), np.float32)
        self.probs[rows] = probs
        if iou is not None:
            if self.iou is None:
                self.iou = np.zeros(len(self.probs), np.float32)
            self.iou[rows] = iou


@dataclass
class LevelMoves:
    """``rois`` mask RoIs pooled so far, and the ``moved`` ones whose feature level Eq. 1 changed."""

    rois: int = 0
    moved: float = 0.0


@dataclass(eq=False)
class MultiViewBatch:
    """B images, their views, and the feature maps that are kept for masks.

    Features of a view stay on the device as far as ``feature_memory_mb`` allows, in the order of the
    views; those of further views are computed again when a mask asks for them.
    """

    model: Detector
    images: ImagesInViews
    views: Sequence[View]
    predict: PredictSettings
    device: torch.device
    moves: LevelMoves
    _features: dict[int, list[Tensor]] = field(default_factory=dict, init=False)

    def candidates(self, merge: MergeSettings, factors: np.ndarray) -> list[Candidates]:
        """Run the model over every view: the candidates of each image, from all views.

        ``factors`` (C,) multiply the scores of their categories before anything is cut off. Raises
        ``UserError`` where the model gives numbers that are not finite.
        """
        on_device = torch.from_numpy(factors).to(self.device)
        budget = self.predict.feature_memory_mb * 2**20
        parts: list[list[Candidates]] = [[] for _ in range(len(self.images))]
        for number, view in enumerate(self.views):
            with self._precision():
                output = self.model.detect_boxes(self._batch(number))
            self._require_finite([*output.features, *output.boxes, *output.scores], "boxes")
            size = sum(level.nbytes for level in output.features)
            if size <= budget:
                self._features[number] = output.features
                budget -= size
            for image, part in enumerate(parts):
                part.append(
                    cut_candidates(
                        output.boxes[image],
                        output.scores[image],
                        geometry=self.images.geometries[number][image],
                        view=view,
                        number=number,
                        threshold=merge.score_threshold,
                        limit=merge.pre_nms_per_view,
                        floor=merge.category_floor,
                        factors=on_device,
                    )
                )
        return [Candidates.concatenate(part) for part in parts]

    def masks(self, wanted: Sequence[Candidates], views: Sequence[np.ndarray]) -> list[Masks]:
        """Masks of each image's detections, each from its view.

        ``views`` (N,) of each image gives the view of every mask; where it is -1 the mask stays zero.
        """
        made = [Masks(np.zeros((len(of_image), 0, 0), np.float32)) for of_image in wanted]
        for number in np.unique(np.concatenate(list(views))):
            if number < 0:
                continue
            rows = [np.flatnonzero(of_image == number) for of_image in views]
            for mask, chosen, output in zip(
                made, rows, self._masks_of_view(int(number), wanted, rows), strict=True
            ):
                probs = output.probs.float().cpu().numpy()  # (K, M, M)
                iou = None if output.iou is None else output.iou.float().cpu().numpy()
                mask.put(chosen, probs[..., ::-1] if self.views[number].flip else probs, iou)
        return made

    def _masks_of_view(
        self, number: int, wanted: Sequence[Candidates], rows: list[np.ndarray]
    ) -> list[Any]:
        """The model's output for the ``rows`` of each image's detections, in view ``number``."""
        boxes, labels = [], []
        geometries = self.images.geometries[number]
        for geometry, detections, chosen in zip(geometries, wanted, rows, strict=True):
            boxes.append(
                torch.from_numpy(geometry.to_view(detections.boxes[chosen])).to(self.device)
            )
            numbers = torch.from_numpy(detections.labels[chosen].astype(np.int64))
            labels.append(numbers.to(self.device))
        with self._precision():
            features = self._features.get(number)
            if features is None:
                features = self.model.inference_features(self._batch(number))
            outputs = self.model.predict_masks(features, boxes, labels)
        self._require_finite([output.probs for output in outputs], "masks")
        for output, chosen in zip(outputs, rows, strict=True):
            self.moves.rois += len(chosen)
            self.moves.moved += float(output.moved) * len(chosen)
        return outputs

    def _require_finite(self, tensors: Sequence[Tensor], what: str) -> None:
        """Sums say it: one number that is not finite makes its sum so, and one wait is enough for all."""
        sums = torch.stack([values.sum(dtype=torch.float32) for values in tensors])
        if not bool(torch.isfinite(sums).all()):
            raise UserError(
                f"{self.images.images[0].path}: the model's {what} for this image are not finite "
                "(NaN); its weights are damaged or overflow: train it again from a sound model, or "
                "set predict.precision=fp32"
            )

    def _batch(self, number: int) -> ImageBatch:
        batch = self.images.views[number]
        return batch.to(self.device, channels_last=self.predict.channels_last)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.predict.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, PRECISIONS[self.predict.precision])
