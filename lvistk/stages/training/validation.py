"""Scores of a model while it trains: one view of the validation images, by the LVIS protocol."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from lvistk import console, distributed
from lvistk.artifacts import StageFolder
from lvistk.config.evaluation import EvaluateSettings
from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionWriter
from lvistk.errors import UserError
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import write_shards
from lvistk.inference.views import plan_views
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.stages.inference.tta_infer import images_of_index
from lvistk.stages.specifications.finetune import FinetuneInputs, FinetuneSettings
from lvistk.stages.specifications.train_repr import TrainReprInputs, TrainReprSettings

FOLDER = "validation"
SCORES = ("AP", "APr", "APc", "APf")
Validate = Callable[[nn.Module], dict[str, float | None]]


def validator(
    settings: TrainReprSettings | FinetuneSettings,
    inputs: TrainReprInputs | FinetuneInputs,
    stage: StageFolder,
    *,
    device: torch.device,
) -> Validate | None:
    """The function that the loop calls every ``loop.evaluate_epochs``; None if that is 0.

    It detects on each image once, at the largest short edge of training, and returns mask AP, APr, APc and
    APf, and ``box_AP``. All ranks detect on their share of the images; only the main one gets scores.
    """
    if not settings.loop.evaluate_epochs:
        return None
    if inputs.val is None or inputs.val_images is None:
        raise UserError("loop.evaluate_epochs needs the inputs 'val' and 'val_images'")
    val, images = inputs.val, inputs.val_images
    index = AnnotationIndex.open([val], cache=cache_beside(stage.path), defects="skip")
    edges = (max(settings.augment.short_edges),)
    views = plan_views(ViewSettings(short_edges=edges, long_edge=settings.augment.long_edge))
    workers = None if device.type == "cpu" else settings.loader.workers
    predict = PredictSettings(workers=workers, precision=settings.loop.precision)

    def validate(model: nn.Module) -> dict[str, float | None]:
        from lvistk.evaluation.evaluate import Results, evaluate  # compiles on first use

        assert isinstance(model, MaskRCNN)
        folder = stage.file(FOLDER)
        _clear(folder)
        predictor = Predictor(model, views, _merge(model), predict, device)
        writer = DetectionWriter(folder, categories=model.categories, role="detections")
        write_shards(predictor, images_of_index(index, images), writer=writer, label="validate")
        distributed.barrier()
        numbers: dict[str, float | None] = {}
        if console.is_main_process():
            settings = EvaluateSettings(boundary=False, fixed=False)
            metrics = evaluate(val, Results(folder), settings).metrics
            numbers = {name: metrics["segm"][name] for name in SCORES}
            numbers["box_AP"] = metrics["bbox"]["AP"]
            shown = ", ".join(f"{name} {console.cell(v, digits=3)}" for name, v in numbers.items())
            console.log(f"validation: {shown}")
        _clear(folder)
        return numbers

    return validate


def _merge(model: MaskRCNN) -> MergeSettings:
    """The model's own detection settings, for merging a single view."""
    detection = model.settings.detection
    return MergeSettings(
        score_threshold=detection.score_threshold,
        nms_iou=detection.nms_iou,
        soft_nms="none",
        mask_source="found",
        max_detections=detection.max_detections,
    )


def _clear(folder: Path) -> None:
    distributed.barrier()
    if console.is_main_process():
        shutil.rmtree(folder, ignore_errors=True)
    distributed.barrier()
