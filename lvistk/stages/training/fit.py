"""What the two training stages share: data, remarks about thresholds, the loop, the model file."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from lvistk import console, distributed
from lvistk.artifacts import StageFolder
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore
from lvistk.data.training.dataset import DataSettings, TrainingData, plain
from lvistk.data.training.image_sources import ImageSource
from lvistk.data.training.loader import TrainLoader
from lvistk.engine.curves import draw_curves
from lvistk.engine.job import METRICS, Batches, Job
from lvistk.engine.loop import train
from lvistk.errors import UserError
from lvistk.models.box_head import BoxHead
from lvistk.models.mask_assignment import mask_levels, moved, needs_area_ratio
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import MODEL, describe_model, save_model
from lvistk.stages.model_card import write_card
from lvistk.stages.specifications.finetune import FinetuneInputs, FinetuneSettings
from lvistk.stages.specifications.train_repr import TrainReprInputs, TrainReprSettings
from lvistk.stages.training.validation import validator


class Loader(Batches, Protocol):
    """Batches whose workers can be ended, and that count images left out."""

    skipped: dict[str, int]

    def close(self) -> None:
        """End the workers."""
        ...


Settings = TrainReprSettings | FinetuneSettings
Inputs = TrainReprInputs | FinetuneInputs


def training_index(settings: Settings, inputs: Inputs, stage: StageFolder) -> AnnotationIndex:
    """The index of all annotation files. Thresholds of categories are compared with its counts."""
    cache = cache_beside(stage.path)
    index = AnnotationIndex.open(inputs.train, cache=cache, defects=settings.loader.defects)
    index.warn_of_defects()
    if not len(index.labels):
        files = ", ".join(map(str, inputs.train))
        raise UserError(f"{files}: no annotations to train on; give the file that has them")
    return index


def training_loader(
    settings: Settings,
    inputs: Inputs,
    index: AnnotationIndex,
    *,
    pseudo: ImageSource | None = None,
    kept: np.ndarray | None = None,
    device: torch.device,
) -> TrainLoader:
    """The batches of this rank, divided by ``loop.accumulate``; ``kept``: see ``TrainingData``."""
    assert inputs.train_images is not None  # the runner has checked that it is given
    data = TrainingData(
        index,
        inputs.train_images,
        settings=DataSettings(
            augment=settings.augment,
            sampler=settings.sampler,
            selftrain=settings.selftrain,
            seed=settings.seed,
            defects=settings.loader.defects,
            max_pixels=settings.loader.max_pixels,
        ),
        pseudo=pseudo,
        kept=kept,
        missing=None if inputs.missing is None else DetectionStore.open(inputs.missing),
    )
    world = distributed.world_size()
    return TrainLoader(
        data,
        batch_size_per_rank=settings.loop.batch_size // (world * settings.loop.accumulate),
        settings=settings.loader,
        rank=distributed.rank(),
        world_size=world,
        device=device,
    )


def area_ratio_prior(index: AnnotationIndex) -> Tensor:
    """(C,) float32, mean of mask area over box area of each category, for Eq. 1 before there is a mask.

    A category without annotations gets the mean of all annotations, or 1 if there are none.
    """
    ratios, labels = index.area_ratios().astype(np.float64), np.asarray(index.labels)
    counts = np.bincount(labels, minlength=len(index.categories))
    sums = np.bincount(labels, weights=ratios, minlength=len(index.categories))
    overall = ratios.mean() if len(ratios) else 1.0
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return torch.from_numpy(means.astype(np.float32))


def report_thresholds(model: MaskRCNN) -> None:
    """Say how many categories each threshold of the classifier applies to; warn if it is none or all."""
    head = model.roi_heads.box_heads[0]
    assert isinstance(head, BoxHead)
    for remark in head.classifier.remarks():
        (console.warn if remark.is_warning else console.say)(remark.text)


def report_strong_epochs(settings: Settings) -> None:
    """Warn of ``augment.strong_epochs`` that leave no epoch without the mosaic and its like that are set."""
    strong, epochs = settings.augment.strong_epochs, settings.loop.epochs
    if strong >= epochs and strong and plain(settings.augment) != settings.augment:
        console.warn(
            f"augment.strong_epochs = {strong} of {epochs} epochs changes nothing; give fewer, or 0 for all"
        )


def report_moved_levels(model: MaskRCNN, settings: Settings, index: AnnotationIndex) -> None:
    """Say what share of the annotated instances Eq. 1 moves to another level, at the median short edge."""
    assignment, canonical = model.settings.mask.assignment, model.settings.canonical_size
    if not needs_area_ratio(assignment) or not len(index.labels):
        return
    augment = settings.augment
    per_image = np.diff(index.row)
    sides = np.stack([index.heights, index.widths], axis=1).repeat(per_image, axis=0)  # (A, 2)
    scale = np.minimum(
        np.median(augment.short_edges) / sides.min(axis=1), augment.long_edge / sides.max(axis=1)
    )
    boxes = torch.from_numpy((index.boxes * scale[:, None]).astype(np.float32))
    ratios = torch.from_numpy(np.array(index.area_ratios()))
    levels = mask_levels(boxes, ratios, assignment=assignment, canonical_size=canonical)
    changed, total = moved(levels, boxes, canonical_size=canonical).tolist()
    console.say(
        f"mask assignment '{assignment}' moves {changed / total:.1%} of the instances to another level"
    )
    if not changed:
        console.warn("mask.assignment moves no instance; lower canonical_size for small images")


def fit(
    model: MaskRCNN,
    settings: Settings,
    inputs: Inputs,
    stage: StageFolder,
    *,
    loader: Loader,
    device: torch.device,
    frozen: Sequence[nn.Module] = (),
) -> dict[str, Any]:
    """Train, then write model.safetensors, metrics.jsonl and curves.png; returns the summary.

    Nothing in the model's file depends on the clock: equal trainings give equal files.
    """
    if settings.loop.compile:
        model.backbone.compile()
        model.neck.compile()
    size = {
        "short_edge": max(settings.augment.short_edges),
        "long_edge": settings.augment.long_edge,
    }
    job = Job(
        model=model,
        batches=loader,
        optim=settings.optim,
        loop=settings.loop,
        folder=stage.path,
        device=device,
        seed=settings.seed,
        frozen=frozen,
        evaluate=validator(settings, inputs, stage, device=device),
        description={**describe_model(model), "input": size},
        resumed=stage.resumed_after,
    )
    try:
        train(job)
    finally:
        loader.close()
    if not console.is_main_process():
        return {}
    rows = console.read_metrics(stage.file(METRICS))
    summary = _summary(rows)
    if loader.skipped:
        summary["skipped_samples"] = sum(loader.skipped.values())
        console.warn(
            f"{summary['skipped_samples']} samples left out for {len(loader.skipped)} broken image(s)"
        )
    told = {name: value for name, value in summary.items() if name != "photos_per_s"}
    training = {"command": stage.command, **told}
    save_model(stage.file(MODEL), model, extra={"training": training, "input": size})
    write_card(stage.path, summary=summary, manifest=stage.manifest)
    draw_curves(stage.file(METRICS), stage.file("curves.png"))
    return summary


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Steps, epochs, the last loss, the median of images per second, and the last validation scores."""
    training = [row for row in rows if "loss" in row]
    scores = [row for row in rows if "AP" in row]
    summary: dict[str, Any] = {}
    if training:
        summary = {name: training[-1][name] for name in ("step", "epoch", "loss")}
        rates = sorted(row["photos_per_s"] for row in training)
        summary["photos_per_s"] = rates[len(rates) // 2]
    if scores:
        summary |= {k: v for k, v in scores[-1].items() if k not in ("step", "epoch")}
    return summary
