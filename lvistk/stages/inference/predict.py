"""``predict``: a model on any images: pictures, JSON, table, and a detection store."""

import time
from collections.abc import Callable
from typing import Any

import torch

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.inference import PLAIN_MERGE
from lvistk.data.exchange.detection_table import write_table
from lvistk.data.exchange.result_records import mask_records
from lvistk.data.images.listed_images import ListedImages
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.index.lvis_write import write_results
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.distributed import barrier, rank
from lvistk.importing.any_model import LoadedModel, load_any_model
from lvistk.inference.default_views import chosen_views, default_merge, with_min_score
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import ImageList, write_shards
from lvistk.inference.views import plan_views
from lvistk.stages.inference.given_boxes import given_boxes
from lvistk.stages.inference.predict_files import draw_pictures, write_predictions
from lvistk.stages.inference.tta_infer import (
    images_of_index,
    images_of_list,
    list_left_out,
    warn_of_nothing,
)
from lvistk.stages.specifications.predict import PredictInputs, PredictStageSettings

MIN_SCORE = 0.3
"""By default, of the model's own boxes; boxes of ``masks_for`` are all kept, and drawn from here on."""


def run(
    settings: PredictStageSettings, inputs: PredictInputs, stage: StageFolder, *, device: str
) -> dict[str, Any]:
    """Write the detection store, and from it what people and programs want.

    Images that cannot be read are left out and listed. With ``masks_for`` the boxes come from there.
    """
    assert inputs.model  # the runner has checked that it is given
    started = time.monotonic()
    model = load_any_model(inputs.model, device=torch.device(device))
    images, names = _images(inputs, stage)
    predictor = _predictor(settings, inputs, model, names, device=torch.device(device))
    folder = stage.file("detections")
    writer = DetectionWriter(folder, categories=model.network.categories, role="detections")
    write_shards(predictor, images, writer=writer, label="images")
    barrier()
    store = DetectionStore.open(folder)
    categories = model.network.categories
    draw_pictures(
        stage,
        store,
        images,
        categories=categories,
        most=settings.pictures,
        min_score=MIN_SCORE if settings.min_score is None else settings.min_score,
    )
    barrier()
    if rank() != 0:
        return {}
    unreadable, _ = list_left_out(stage, images, store, max_pixels=settings.predict.max_pixels)
    warn_of_nothing(store, inputs.model, limit="--min-score")
    write_predictions(
        stage.file("predictions.json"), store, categories, annotations=inputs.annotations
    )
    if inputs.masks_for is not None:
        write_results(stage.file("results_segm.json"), mask_records(store))
    if settings.csv:
        write_table(stage.file("detections.csv"), store, categories)
    count = sum(shard.layout["score"][1][0] for shard in store.shards)
    console.say(f"{count} detections in {len(store)} images: {stage.path}")
    return {
        "photos": len(store),
        "unreadable": unreadable,
        "detections": count,
        "views": len(predictor.views),
        "seconds": round(time.monotonic() - started, 1),
    }


def _images(
    inputs: PredictInputs, stage: StageFolder
) -> tuple[ImageList, Callable[[], list[tuple[int, str]]]]:
    """The images, and what gives their ids and names."""
    if inputs.annotations is None:
        listed = ListedImages(inputs.images)
        return images_of_list(listed), lambda: list(
            zip(listed.ids.tolist(), listed.names, strict=True)
        )
    cache = cache_beside(stage.path)
    index = AnnotationIndex.open([inputs.annotations], cache=cache, defects="skip")
    index.warn_of_defects()
    ids = index.image_ids.tolist()
    images = images_of_index(index, inputs.images[0])
    return images, lambda: [(number, index.file_name(i)) for i, number in enumerate(ids)]


def _predictor(
    settings: PredictStageSettings,
    inputs: PredictInputs,
    model: LoadedModel,
    names: Callable[[], list[tuple[int, str]]],
    *,
    device: torch.device,
) -> Predictor:
    network, size = model
    views = plan_views(chosen_views(settings.views, size, many=settings.tta))
    merge = settings.merge
    if merge == PLAIN_MERGE:
        merge = default_merge(size, many=len(views) > 1)
    given = only = None
    if inputs.masks_for is not None:
        given = given_boxes(
            inputs.masks_for,
            names(),
            categories=network.categories,
            min_score=settings.min_score or 0.0,
        )
    elif settings.category:
        only = network.categories.labels_of_names(settings.category)
    least = MIN_SCORE if settings.min_score is None else settings.min_score
    return Predictor(
        network,
        views,
        with_min_score(merge, least),
        settings.predict,
        device,
        only=only,
        given=given,
        min_score=0.0 if given is not None else least,
    )
