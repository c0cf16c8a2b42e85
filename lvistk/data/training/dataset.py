"""Training samples: image and labels of a source, augmented, as a tensor and its ``Targets``."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lvistk.config.inference import MAX_PIXELS
from lvistk.config.train import AugmentSettings, SamplerSettings, SelfTrainSettings
from lvistk.data.augment.augment import Region, colour_matrix, draw_view, recolour, reduction
from lvistk.data.augment.copy_paste import paste_instances
from lvistk.data.augment.instaboost import boost
from lvistk.data.augment.mosaic import Picture, Tile, compose, mosaic_centre, place_in_mosaic
from lvistk.data.images.decode import planes, read_image
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store.detection_store import DetectionStore
from lvistk.data.training.image_sources import AnnotatedImages, ImageSource, SourceImage
from lvistk.data.training.partners import Partners
from lvistk.data.training.samplers import (
    EpochPlan,
    SampleKey,
    fill_up,
    group_by_aspect,
    mix,
    repeat_factors,
    repeated_rows,
    stream,
    subsample,
)
from lvistk.errors import UserError
from lvistk.masks.instance_masks import ImageMasks
from lvistk.structures.targets import Targets

SAMPLE = 5
"""Stream of a sample's random numbers; beside those of ``samplers``."""
MOST_SKIPPED = 100
"""Broken images in a row after which ``skip`` gives up."""


@dataclass(frozen=True)
class DataSettings:
    """The settings that decide what a sample looks like and which samples there are."""

    augment: AugmentSettings
    sampler: SamplerSettings
    selftrain: SelfTrainSettings = field(default_factory=SelfTrainSettings)
    seed: int = 0
    defects: Literal["fail", "skip"] = "fail"
    max_pixels: int = MAX_PIXELS
    """Images of more pixels are broken images."""


@dataclass(eq=False)
class Sample:
    """A finished sample: ``image (3, H, W)`` uint8 RGB, ``targets``, and why images were ``skipped``."""

    image: Tensor
    targets: Targets
    skipped: list[str]


class TrainingData:
    """All training images, and the samples of every epoch as a function of (seed, epoch, k).

    ``pseudo`` is a further source, of which ``selftrain.pseudo_images_per_epoch`` images come each
    epoch. ``missing`` holds missing annotations, which become ``Targets.ignore_boxes``. ``kept`` (I,) bool
    says of which images of the index samples are made; None: of all. What is counted, such as the images of a
    category, is counted over all.
    """

    def __init__(
        self,
        index: AnnotationIndex,
        images_root: Path,
        *,
        settings: DataSettings,
        pseudo: ImageSource | None = None,
        missing: DetectionStore | None = None,
        kept: np.ndarray | None = None,
    ) -> None:
        self.settings = settings
        self._plain = replace(settings, augment=plain(settings.augment))
        annotated = AnnotatedImages(
            index,
            images_root,
            missing=missing,
            missing_score=settings.selftrain.missing_score,
        )
        self.sources: list[ImageSource] = [annotated, *([] if pseudo is None else [pseudo])]
        self.repeats = repeat_factors(
            index.row,
            index.labels,
            categories=len(index.categories),
            settings=settings.sampler,
        )
        used = np.ones(len(index), bool) if kept is None else kept
        self.repeats = replace(self.repeats, images=self.repeats.images * used)
        self._rows = [np.flatnonzero(used), *(np.arange(len(one)) for one in self.sources[1:])]
        by_repeat = settings.augment.mosaic_partners == "repeat_factor"
        self._partners = Partners(
            [len(source) for source in self.sources],
            weights=self.repeats.images if by_repeat else used.astype(float),
        )

    def plan(self, epoch: int, *, batch: int) -> EpochPlan:
        """The samples of an epoch in order, a multiple of the global ``batch``."""
        settings = self.settings
        rows = repeated_rows(self.repeats, seed=settings.seed, epoch=epoch)
        others = np.zeros(0, np.int64)
        if len(self.sources) > 1:
            wanted = settings.selftrain.pseudo_images_per_epoch
            others = subsample(len(self.sources[1]), wanted, seed=settings.seed, epoch=epoch)
        plan = mix(rows, others, seed=settings.seed, epoch=epoch)
        if settings.sampler.aspect_grouping:
            plan = group_by_aspect(plan, self._wide(plan), batch=batch)
        return fill_up(plan, batch=batch)

    def sample(self, key: SampleKey) -> Sample:
        """The sample of ``key``; raises ``UserError`` for a broken image, or takes the next with
        ``skip``."""
        source, rows, skipped = self.sources[key.source], self._rows[key.source], []
        first = int(np.searchsorted(rows, key.row))
        for attempt in range(MOST_SKIPPED):
            rng = stream(self.settings.seed, key.epoch, key.k, SAMPLE, attempt)
            row = int(rows[(first + attempt) % len(rows)])
            try:
                return self._draw(key, source, row, rng, skipped)
            except UserError as error:
                if self.settings.defects == "fail":
                    raise
                skipped.append(str(error))
        raise UserError(f"{skipped[-1]} ({MOST_SKIPPED} broken images in a row)")

    def _wide(self, plan: EpochPlan) -> np.ndarray:
        wide = np.zeros(len(plan), bool)
        for number, source in enumerate(self.sources):
            chosen = plan.sources == number
            wide[chosen] = source.wide(plan.rows[chosen])
        return wide

    def _draw(
        self,
        key: SampleKey,
        source: ImageSource,
        row: int,
        rng: np.random.Generator,
        skipped: list[str],
    ) -> Sample:
        last = self.settings.augment.strong_epochs
        used = self._plain if last and key.epoch >= last else self.settings
        settings = used.augment
        image = source.image(row)
        if rng.random() < settings.mosaic_probability:
            picture = self._mosaic(key.source, image, rng)
        else:
            picture = self._single(image, rng, settings=used)
        if rng.random() < settings.copy_paste_probability:
            picture = self._with_pasted(key.source, picture, rng)
        if settings.colour:
            picture.pixels = recolour(picture.pixels, colour_matrix(rng, settings.colour))
        seed = int(rng.integers(1 << 62))
        return Sample(
            image=torch.from_numpy(planes(picture.pixels)),
            targets=targets_of(picture, image, seed=seed),
            skipped=skipped,
        )

    def _single(
        self, image: SourceImage, rng: np.random.Generator, *, settings: DataSettings
    ) -> Picture:
        view = draw_view(image.size, rng, settings=settings.augment)
        region = (0, 0, view.width, view.height)
        tile = decoded_tile(image, view.matrix, region, rng, settings=settings)
        return compose([tile], height=view.height, width=view.width, settings=settings.augment)

    def _mosaic(self, source: int, image: SourceImage, rng: np.random.Generator) -> Picture:
        """Four images of one source around a point, the sample's own in the upper left."""
        settings = self.settings.augment
        height, width = settings.mosaic_size
        images = [image]
        images += [self.sources[source].image(row) for row in self._partners.draw(source, 3, rng)]
        views = [draw_view(one.size, rng, settings=settings) for one in images]
        centre = mosaic_centre(settings.mosaic_size, rng)
        placed = place_in_mosaic(views, centre=centre, size=settings.mosaic_size)
        tiles = [
            decoded_tile(one, matrix, region, rng, settings=self.settings)
            for one, (matrix, region) in zip(images, placed, strict=True)
        ]
        return compose(tiles, height=height, width=width, settings=settings)

    def _with_pasted(self, source: int, picture: Picture, rng: np.random.Generator) -> Picture:
        """The picture with instances of one more image of its source."""
        settings = self.settings.augment
        image = self.sources[source].image(self._partners.draw(source, 1, rng)[0])
        view = draw_view(image.size, rng, settings=settings)
        height, width = picture.pixels.shape[:2]
        region = (0, 0, width, height)
        tile = decoded_tile(image, view.matrix, region, rng, settings=self.settings)
        other = compose([tile], height=height, width=width, settings=settings)
        return paste_instances(picture, other, rng, settings=settings)


def plain(settings: AugmentSettings) -> AugmentSettings:
    """The settings without mosaic, rotation, InstaBoost and copy-paste."""
    return replace(
        settings,
        mosaic_probability=0.0,
        rotate_probability=0.0,
        instaboost_probability=0.0,
        copy_paste_probability=0.0,
    )


def decoded_tile(
    image: SourceImage,
    matrix: np.ndarray,
    region: Region,
    rng: np.random.Generator,
    *,
    settings: DataSettings,
) -> Tile:
    """The image decoded, no larger than ``matrix`` needs, its instances jittered where InstaBoost is due."""
    boosted = rng.random() < settings.augment.instaboost_probability
    part = 1 if boosted else reduction(matrix)
    pixels = read_image(
        image.path,
        size=image.size,
        rotation=image.rotation,
        reduce=part,
        max_pixels=settings.max_pixels,
    )
    labels = image.labels
    if boosted:
        pixels, instances = boost(pixels, labels.instances, rng, settings=settings.augment)
        labels = replace(labels, instances=instances)
    return Tile(pixels, image.size, labels, matrix, region)


def targets_of(picture: Picture, image: SourceImage, *, seed: int) -> Targets:
    """Tensors of what is known of a finished picture."""
    labels, instances = picture.labels, picture.labels.instances
    sides = np.maximum(instances.boxes[:, 2:] - instances.boxes[:, :2], 1e-6)
    ratio = np.clip(instances.areas / (sides[:, 0] * sides[:, 1]), 0.0, 1.0)
    return Targets(
        boxes=torch.from_numpy(np.array(instances.boxes)),
        labels=torch.from_numpy(np.array(instances.labels, np.int64)),
        masks=ImageMasks.build(
            instances.polygons,
            boxes=instances.boxes,
            size=picture.pixels.shape[:2],
            bitmaps=instances.bitmaps,
        ),
        area_ratio=torch.from_numpy(ratio.astype(np.float32)),
        ignore_boxes=torch.from_numpy(np.array(labels.missing.boxes)),
        negative_labels=torch.from_numpy(np.array(labels.negative)),
        not_exhaustive_labels=torch.from_numpy(np.array(labels.not_exhaustive)),
        loss_weight=image.weight,
        image_id=image.image_id,
        seed=seed,
        weights=None
        if instances.weights is None
        else torch.from_numpy(np.array(instances.weights)),
        mask_weight=image.mask_weight,
    )
