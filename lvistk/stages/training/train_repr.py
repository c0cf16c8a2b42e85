"""``train-repr``: stage 1 of the paper, representation learning (section 3.1)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.folds import in_fold
from lvistk.errors import UserError
from lvistk.importing.backbone_weights import load_backbone_weights
from lvistk.importing.category_rows import rows_by_name, rows_of_model
from lvistk.models.build import build_model
from lvistk.models.fresh_start import fresh_start
from lvistk.models.inherit import inherited_settings
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model
from lvistk.models.upgrade import upgrade_model
from lvistk.selftrain.pseudo import PseudoSource, open_pseudo_source
from lvistk.stages.specifications.train_repr import TrainReprInputs, TrainReprSettings
from lvistk.stages.training.fit import (
    area_ratio_prior,
    fit,
    report_moved_levels,
    report_strong_epochs,
    report_thresholds,
    training_index,
    training_loader,
)


def run(
    settings: TrainReprSettings, inputs: TrainReprInputs, stage: StageFolder, *, device: str
) -> dict[str, Any]:
    """Train a detector; missing annotations are ignored, pseudo-labelled images join each epoch."""
    torch_device = torch.device(device)
    index = training_index(settings, inputs, stage)
    torch.manual_seed(settings.seed)
    model = _first_model(settings, inputs, index, prior=area_ratio_prior(index))
    loader = training_loader(
        settings,
        inputs,
        index,
        pseudo=_pseudo(settings, inputs, index),
        kept=_kept(settings, index),
        device=torch_device,
    )
    loader.report()
    report_strong_epochs(settings)
    report_thresholds(model)
    report_moved_levels(model, settings, index)
    return fit(model, settings, inputs, stage, loader=loader, device=torch_device)


def _kept(settings: TrainReprSettings, index: AnnotationIndex) -> np.ndarray | None:
    """Which images (I,) are trained on: all but those of the fold; None for all."""
    if not settings.fold:
        return None
    kept = ~in_fold(index.image_ids, settings.fold)
    if not np.diff(index.row)[kept].any():
        raise UserError(f"fold = {settings.fold}: no other image has annotations; take fewer folds")
    console.say(
        f"fold {settings.fold}: {int((~kept).sum())} of {len(kept)} images are not trained on"
    )
    return kept


def _first_model(
    settings: TrainReprSettings, inputs: TrainReprInputs, index: AnnotationIndex, *, prior: Tensor
) -> MaskRCNN:
    """A new model, from its backbone's weights or from those of ``init`` that fit."""
    if inputs.init is None:
        start = fresh_start(settings.model)
        model = build_model(start.settings, index.categories, area_ratio_prior=prior)
        load_backbone_weights(model.backbone, start.settings.backbone)
        console.say(start.told)
        if start.warning:
            console.warn(start.warning)
        return model
    old = load_model(inputs.init, device=torch.device("cpu"))
    model_settings, names = inherited_settings(
        settings.model, old.settings, source=str(inputs.init)
    )
    if names:
        console.say(f"taken from {inputs.init}: {', '.join(f'model.{name}' for name in names)}")
    model, transfer = upgrade_model(
        old,
        settings=model_settings,
        categories=index.categories,
        area_ratio_prior=prior,
        rows=_rows_in(old, index, source=str(inputs.init)),
    )
    console.say(f"starting from {inputs.init}: {transfer.line()}")
    return model


def _rows_in(old: MaskRCNN, index: AnnotationIndex, *, source: str) -> np.ndarray | None:
    """The label in ``old`` of each category to train, by name; None where both have the same labels."""
    if np.array_equal(old.categories.ids, index.categories.ids):
        return None
    names = [[name] for name in index.categories.names]
    rows = rows_by_name(rows_of_model(old.categories), names)
    console.say(
        f"{source} has another label set: {int((rows >= 0).sum())} of {len(rows)} categories have their "
        "name in it, the others start anew"
    )
    return rows


def _pseudo(
    settings: TrainReprSettings, inputs: TrainReprInputs, index: AnnotationIndex
) -> PseudoSource | None:
    if not inputs.pseudo:
        return None
    assert inputs.pool is not None  # checked before the run
    source = open_pseudo_source(
        inputs.pseudo,
        inputs.pool,
        categories=index.categories,
        settings=settings.selftrain,
    )
    taken = min(settings.selftrain.pseudo_images_per_epoch, len(source))
    console.say(f"pseudo-labelled images: {taken} of {len(source)} in each epoch")
    return source
