"""Images in, detections out: every view, merged boxes, masks of the survivors (arXiv 2009.01559,
testing)."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.data.images.decode import ImageError
from lvistk.inference.candidates import Candidates
from lvistk.inference.category_quota import CategoryQuota
from lvistk.inference.image_batches import Image, ImagesInViews, LeftOut, Screen, load_batches
from lvistk.inference.mask_source import choose_views, make_masks
from lvistk.inference.merge import merge_candidates, score_factors
from lvistk.inference.multi_view import Detector, LevelMoves, Masks, MultiViewBatch
from lvistk.inference.views import Size, View, plan_views
from lvistk.masks.paste import paste_masks
from lvistk.structures.detections import Detections


@dataclass(eq=False)
class Predictor:
    """A model and how to run it.

    moves: counts the mask RoIs over all images
    only: (K,) labels that are detected; None for all
    given: boxes by image id that masks are made for, in place of the model's own boxes; an image without any
        has none
    min_score: detections that end with less, as Soft-NMS may leave them, are left out
    quota: what detections must reach to be kept, with ``merge.max_per_category``
    """

    model: Detector
    views: list[View]
    merge: MergeSettings
    predict: PredictSettings
    device: torch.device
    moves: LevelMoves = field(default_factory=LevelMoves)
    only: np.ndarray | None = None
    given: Mapping[int, Detections] | None = None
    min_score: float = 0.0
    quota: CategoryQuota = field(init=False)

    def __post_init__(self) -> None:
        limit = self.merge.max_per_category
        self.quota = CategoryQuota(limit, len(self.model.categories))

    def run(self, images: Sequence[Image]) -> Iterator[Detections]:
        """Detections of every image, in the images' order; ``ImageError`` at a broken one."""
        for outcome in self.outcomes(images):
            if isinstance(outcome, LeftOut):
                raise ImageError(outcome.reason)
            yield outcome

    def outcomes(
        self, images: Sequence[Image], *, screen: Screen | None = None
    ) -> Iterator[Detections | LeftOut]:
        """Detections of every image, in the images' order, or why it is left out.

        The model's modules go into eval mode meanwhile and back into their own afterwards. Raises
        ``UserError`` where the model gives numbers that are not finite.
        """
        batches = load_batches(
            images,
            views=self.views,
            batch_size=self.predict.batch_size,
            workers=self.predict.workers,
            max_pixels=self.predict.max_pixels,
            screen=screen,
        )
        waiting: dict[int, Detections | LeftOut] = {}
        following = 0
        with _evaluating(self.model), contextlib.closing(batches):
            for batch in batches:
                waiting.update(batch.left_out)
                if len(batch):
                    waiting.update(zip(batch.indices, self.detect(batch), strict=True))
                while following in waiting:
                    yield waiting.pop(following)
                    following += 1

    @torch.inference_mode()
    def detect(self, images: ImagesInViews) -> list[Detections]:
        """Detections of each image of a batch, best box score first."""
        views = MultiViewBatch(
            self.model, images, self.views, self.predict, self.device, moves=self.moves
        )
        merged = self._detected(views) if self.given is None else self._given(images)
        has_masks = self.model.settings.mask.enabled
        masks = make_masks(views, merged, self.merge) if has_masks else [None] * len(merged)
        return [
            self._detections(image.image_id, size, candidates, mask)
            for image, size, candidates, mask in zip(
                images.images, images.sizes, merged, masks, strict=True
            )
        ]

    def _detected(self, views: MultiViewBatch) -> list[Candidates]:
        """The boxes of each image that the model detects."""
        factors = score_factors(self.model.categories, self.merge)
        if self.only is not None:
            factors[np.setdiff1d(np.arange(len(factors)), self.only)] = 0
        merged = [
            self.quota.select(merge_candidates(candidates, settings=self.merge))
            for candidates in views.candidates(self.merge, factors)
        ]
        return [part.select(part.scores >= self.min_score) for part in merged]

    def _given(self, images: ImagesInViews) -> list[Candidates]:
        """The boxes of each image that are given, from the view where the side of each suits best."""
        assert self.given is not None
        chosen = []
        for number, image in enumerate(images.images):
            boxes = self.given.get(image.image_id) or Detections.empty(image.image_id, (0, 0))
            views = choose_views(
                boxes.boxes,
                np.ones(len(boxes), np.float32),
                origins=np.zeros(len(boxes), np.int32),
                scales=[geometries[number].scale for geometries in images.geometries],
                flips=[view.flip for view in self.views],
                sides=self.merge.mask_sides,
            )
            chosen.append(
                Candidates(boxes.boxes, boxes.scores, boxes.labels.astype(np.int32), views)
            )
        return chosen

    def _detections(
        self, image_id: int, size: Size, candidates: Candidates, masks: Masks | None
    ) -> Detections:
        detections = Detections(
            image_id=image_id,
            size=size,
            boxes=candidates.boxes,
            scores=candidates.scores,
            labels=candidates.labels,
        )
        if masks is not None:
            detections.masks = paste_masks(
                masks.probs, candidates.boxes, size=size, threshold=self.merge.mask_threshold
            )
            if self.model.settings.mask.mask_iou:
                iou = np.zeros(len(detections), np.float32) if masks.iou is None else masks.iou
                detections.mask_scores = candidates.scores * iou
        return detections


def predict_images(
    model: Detector,
    images: Sequence[Image],
    *,
    views: ViewSettings,
    merge: MergeSettings,
    predict: PredictSettings,
    device: torch.device | str,
) -> Iterator[Detections]:
    """Detections of every image, in the images' order (see ``Predictor.run``)."""
    return Predictor(model, plan_views(views), merge, predict, torch.device(device)).run(images)


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Eval mode for every module of ``model``, and each one's own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
