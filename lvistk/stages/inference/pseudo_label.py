"""``pseudo-label``: detections on training images or on unlabelled ones (arXiv 2009.01559)."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvistk import console
from lvistk.artifacts import StageFolder, fingerprint
from lvistk.config.inference import READERS, PredictSettings
from lvistk.data.images.leak_guard import build_guard
from lvistk.data.images.listed_images import ListedImages
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.folds import in_fold
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.pool.open_images import OpenImages
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.distributed import barrier, rank
from lvistk.inference.category_quota import cut_store
from lvistk.inference.image_batches import Image, Screen
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import ImageList, write_shards
from lvistk.inference.views import plan_views
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model
from lvistk.selftrain.summary import show_summary, summarise_store
from lvistk.selftrain.thresholds import group_thresholds
from lvistk.stages.inference.tta_infer import images_of_index, list_left_out, warn_of_nothing
from lvistk.stages.specifications.pseudo_label import PseudoLabelInputs, PseudoLabelSettings
from lvistk.whole_file import write_json


def run(
    settings: PseudoLabelSettings, inputs: PseudoLabelInputs, stage: StageFolder, *, device: str
) -> dict[str, Any]:
    """Write ``detections/*.h5``: of the training images, for filter-missing, or of the pool's images
    with their names and rotations, for train-repr."""
    assert inputs.model  # the runner has checked that it is given
    started = time.monotonic()
    torch_device = torch.device(device)
    model = load_model(inputs.model, device=torch_device)
    images, role = _images(settings, inputs, stage)
    predictor = _predictor(settings, model, torch_device)
    folder = stage.file("detections")
    writer = DetectionWriter(folder, categories=model.categories, role=role)
    label = f"labelling {settings.source} images"
    write_shards(predictor, images, writer=writer, label=label, portion=stage.portion)
    barrier()
    if rank() != 0 or stage.portion is not None:
        return {}
    cut = cut_store(folder, settings.merge.max_per_category) if predictor.quota.limit else 0
    store = DetectionStore.open(folder)
    unreadable, excluded = list_left_out(
        stage, images, store, max_pixels=settings.predict.max_pixels
    )
    warn_of_nothing(store, inputs.model)
    rows = summarise_store(store, model.categories)
    write_json(stage.file("per_category.json"), rows)
    show_summary(rows, title=f"labels of {len(store)} images")
    return {
        "photos": len(store),
        "unreadable": unreadable,
        "excluded_by_content": excluded,
        "detections": sum(shard.layout["score"][1][0] for shard in store.shards),
        "beyond_max_per_category": cut,
        "seconds": round(time.monotonic() - started, 1),
    }


def _images(
    settings: PseudoLabelSettings,
    inputs: PseudoLabelInputs,
    stage: StageFolder,
) -> tuple[ImageList, str]:
    """The images of the source, and the role of their detections."""
    match settings.source:
        case "lvis":
            return _training_images(inputs, stage, fold=settings.fold), "detections"
        case "openimages":
            return _pool_images(inputs, settings, stage), "pseudo"
        case "images":
            return _any_images(inputs, settings, stage), "pseudo"


def _predictor(settings: PseudoLabelSettings, model: MaskRCNN, device: torch.device) -> Predictor:
    """The predictor of these settings; with ``group_scores`` it looks from the lowest of them."""
    merge, thresholds = settings.merge, None
    if settings.group_scores:
        rare, common, frequent = settings.group_scores
        thresholds = group_thresholds(
            model.categories, (rare, common, frequent), other=merge.score_threshold
        )
        merge = replace(merge, score_threshold=min(float(thresholds.min()), merge.score_threshold))
    views = plan_views(settings.views)
    return Predictor(model, views, merge, settings.predict, device, thresholds=thresholds)


def _training_images(inputs: PseudoLabelInputs, stage: StageFolder, *, fold: str) -> ImageList:
    """The training images, or those of one fold."""
    assert inputs.train_images is not None  # checked before the run
    index = AnnotationIndex.open(inputs.train, cache=cache_beside(stage.path), defects="skip")
    index.warn_of_defects()
    images = images_of_index(index, inputs.train_images)
    if not fold:
        return images
    own = np.flatnonzero(in_fold(images.ids, fold))
    console.say(f"fold {fold}: {len(own)} of {len(images)} images")
    return images.select(own)


def _pool_images(
    inputs: PseudoLabelInputs, settings: PseudoLabelSettings, stage: StageFolder
) -> ImageList:
    """The pool's images, or ``max_images`` of them drawn by the seed."""
    assert inputs.pool is not None  # checked before the run
    if rank() != 0:  # rank 0 walks the folders; the others read what it wrote
        barrier()
    cache = cache_beside(stage.path)
    pool = OpenImages.open(
        inputs.pool,
        list_path=inputs.pool_list,
        exclude=inputs.exclude,
        cache=cache,
        compares_content=inputs.exclude_images is not None,
    )
    screen = _screen(inputs, cache, settings.predict)
    if rank() == 0:
        barrier()
    console.say(
        f"{len(pool)} images in the pool; left out: {pool.unlisted} not in the list, "
        f"{pool.excluded} that an excluded annotation file has too, by their Flickr ids"
    )
    chosen = _drawn(len(pool), settings)

    def image(k: int) -> Image:
        i = int(chosen[k])
        return Image(pool.image_id(i), pool.path(i), rotation=pool.rotation(i))

    ids = np.asarray(pool.ids[chosen]).view(np.int64)
    return ImageList(ids, image, name=lambda k: pool.name(int(chosen[k])), screen=screen)


def _any_images(
    inputs: PseudoLabelInputs, settings: PseudoLabelSettings, stage: StageFolder
) -> ImageList:
    """Any images, by names relative to the pool's folder, or ``max_images`` of them drawn by the seed."""
    sources = inputs.images or (() if inputs.pool is None else (inputs.pool,))
    listed = ListedImages(sources, root=inputs.pool)
    if rank() != 0:  # rank 0 measures what must be kept out; the others read what it wrote
        barrier()
    screen = _screen(inputs, cache_beside(stage.path), settings.predict)
    if rank() == 0:
        barrier()
    console.say(f"{len(listed)} images; train-repr finds them with --pool {listed.root}")
    chosen = _drawn(len(listed), settings)

    def image(k: int) -> Image:
        i = int(chosen[k])
        return Image(int(listed.ids[i]), listed.path(i))

    names = listed.names
    return ImageList(listed.ids[chosen], image, name=lambda k: names[chosen[k]], screen=screen)


def _drawn(total: int, settings: PseudoLabelSettings) -> np.ndarray:
    """Indices of the images to label, ascending: all, or ``max_images`` drawn by the seed."""
    if not 0 < settings.max_images < total:
        return np.arange(total)
    drawn = np.random.default_rng(settings.seed).choice(total, settings.max_images, replace=False)
    return np.sort(drawn)


def _screen(inputs: PseudoLabelInputs, cache: Path, predict: PredictSettings) -> Screen | None:
    """What keeps images out that show the same as those of ``exclude`` below ``exclude_images``."""
    if inputs.exclude_images is None:
        return None
    index = AnnotationIndex.open(inputs.exclude, cache=cache, defects="skip")
    paths = [index.image_path(i, inputs.exclude_images) for i in range(len(index))]
    key = " ".join(fingerprint(path) for path in inputs.exclude)
    workers = READERS if predict.workers is None else predict.workers
    with console.progress("images to exclude", len(paths)) as line:
        guard = build_guard(paths, cache=cache, key=key, workers=workers, advance=line.advance)
    unguarded = f"; {guard.unreadable} cannot be read and are not" if guard.unreadable else ""
    console.say(f"{len(guard.names)} images are kept out of the pool by what they show{unguarded}")

    def screen(image: Image, pixels: np.ndarray) -> str | None:
        name = guard.match(pixels)
        return None if name is None else f"{image.path}: shows the same as {name}, to be excluded"

    return screen
