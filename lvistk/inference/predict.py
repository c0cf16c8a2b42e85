"""Images in, detections out: every view, merged boxes, masks of the survivors (arXiv 2009.01559,
testing)."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
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
from lvistk.models.winograd import fewer_multiplications
from lvistk.structures.detections import Detections

PASTED_BEHIND = 2
"""Batches whose masks may wait for being pasted."""


@dataclass(eq=False)
class Predictor:
    """A model and how to run it.

    moves: counts the mask RoIs over all images
    only: (K,) labels that are detected; None for all
    given: boxes by image id that masks are made for, in place of the model's own boxes; an image without any
        has none
    min_score: detections that end with less, as Soft-NMS may leave them, are left out
    quota: what detections must reach to be kept, with ``merge.max_per_category``
    thresholds: (C,) smallest score that is kept, by category; None: ``merge.score_threshold`` for all
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
    thresholds: np.ndarray | None = None
    quota: CategoryQuota = field(init=False)

    def __post_init__(self) -> None:
        limit = self.merge.max_per_category
        self.quota = CategoryQuota(limit, len(self.model.categories))

    @property
    def _workers(self) -> int:
        return self.predict.workers_on(self.device.type)

    def run(self, images: Sequence[Image]) -> Iterator[Detections]:
        """Detections of every image, in the images' order; ``ImageError`` at a broken one."""
        for outcome in self.outcomes(images):
            if isinstance(outcome, LeftOut):
                raise ImageError(outcome.reason)
            yield outcome

    def outcomes(
        self,
        images: Sequence[Image],
        *,
        screen: Screen | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Detections | LeftOut]:
        """Detections of every image, in the images' order, or why it is left out.

        Images of like shape are batched together, so that the outcomes of many may wait for one before them:
        ``progress`` is called with the number of images of each batch as soon as that is finished.
        The model's modules go into eval mode meanwhile and back into their own afterwards. With
        workers the masks of a batch are pasted while the next one is in the model. Raises
        ``UserError`` where the model gives numbers that are not finite.
        """
        batches = load_batches(
            images,
            views=self.views,
            batch_size=self.predict.batch_size,
            workers=self._workers,
            max_pixels=self.predict.max_pixels,
            screen=screen,
        )
        waiting: dict[int, Detections | LeftOut] = {}
        following = 0
        with _evaluating(self.model), contextlib.closing(batches):
            for outcomes in self._in_turn(batches):
                waiting.update(outcomes)
                if progress is not None:
                    progress(len(outcomes))
                while following in waiting:
                    yield waiting.pop(following)
                    following += 1

    def _in_turn(self, batches: Iterator[ImagesInViews]) -> Iterator[dict[int, Any]]:
        """The outcomes of each batch by the images' indices."""
        if self._workers == 0:
            for batch in batches:
                yield _outcomes(batch, self._unfinished(batch))
            return
        ahead: deque[Future[dict[int, Any]]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="masks") as pool:
            for batch in batches:
                ahead.append(pool.submit(_outcomes, batch, self._unfinished(batch)))
                while len(ahead) > PASTED_BEHIND or (ahead and ahead[0].done()):
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def detect(self, images: ImagesInViews) -> list[Detections]:
        """Detections of each image of a batch, best box score first."""
        return [finish() for finish in self._unfinished(images)]

    @torch.inference_mode()
    def _unfinished(self, images: ImagesInViews) -> list[Callable[[], Detections]]:
        """All that the model has to do for a batch; what is left gives each image's detections."""
        if not len(images):
            return []
        views = MultiViewBatch(
            self.model, images, self.views, self.predict, self.device, moves=self.moves
        )
        merged = self._detected(views) if self.given is None else self._given(images)
        has_masks = self.model.settings.mask.enabled
        masks = make_masks(views, merged, self.merge) if has_masks else [None] * len(merged)
        return [
            partial(self._detections, image.image_id, size, candidates, mask)
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
            self.quota.select(self._above(merge_candidates(candidates, settings=self.merge)))
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

    def _above(self, candidates: Candidates) -> Candidates:
        """The candidates that reach their category's threshold."""
        if self.thresholds is None:
            return candidates
        return candidates.select(candidates.scores >= self.thresholds[candidates.labels])

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


def _outcomes(batch: ImagesInViews, unfinished: list[Callable[[], Detections]]) -> dict[int, Any]:
    """Detections, or why an image is left out, by the images' indices."""
    detections = [finish() for finish in unfinished]
    return {**batch.left_out, **dict(zip(batch.indices, detections, strict=True))}


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Eval mode and the fastest convolutions for ``model``, and each module's own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with fewer_multiplications(model):
            yield
    finally:
        for module, training in modes:
            module.training = training
