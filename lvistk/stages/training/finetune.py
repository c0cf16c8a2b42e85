"""``finetune``: stage 2 of the paper, a balanced classifier and better masks (section 3.2)."""

from typing import Any

import torch

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.load import apply_overrides
from lvistk.models.freeze import freeze
from lvistk.models.model_file import load_model
from lvistk.models.upgrade import upgrade_model
from lvistk.stages.specifications.finetune import FinetuneInputs, FinetuneSettings
from lvistk.stages.training.fit import (
    Loader,
    area_ratio_prior,
    fit,
    report_moved_levels,
    report_strong_epochs,
    report_thresholds,
    training_index,
    training_loader,
)
from lvistk.stages.training.pooled_batches import pool_features, remove_features
from lvistk.whole_file import write_json


def run(
    settings: FinetuneSettings, inputs: FinetuneInputs, stage: StageFolder, *, device: str
) -> dict[str, Any]:
    """Change the stage 1 model as ``settings.model`` says, freeze parts of it, train the rest.

    ``upgrade.json`` lists which weights were copied, which parts are new, replaced, or gone.
    """
    assert inputs.model is not None  # the runner has checked that it is given
    torch_device = torch.device(device)
    index = training_index(settings, inputs, stage)
    old = load_model(inputs.model, device=torch.device("cpu"))
    old.categories.require_same_labels(
        index.categories, ours=str(inputs.model), theirs=str(inputs.train[0])
    )
    torch.manual_seed(settings.seed)
    model, transfer = upgrade_model(
        old,
        settings=apply_overrides(old.settings, settings.model, where="finetune model"),
        categories=index.categories,
        area_ratio_prior=area_ratio_prior(index),
    )
    frozen = freeze(model, settings.freeze)
    loader = training_loader(settings, inputs, index, device=torch_device)
    loader.report()
    report_strong_epochs(settings)
    report_thresholds(model)
    report_moved_levels(model, settings, index)
    console.say(f"upgraded {inputs.model}: {transfer.line()}; frozen: {list(settings.freeze)}")
    if console.is_main_process():
        write_json(stage.file("upgrade.json"), transfer.to_table())
    batches: Loader = loader
    if settings.features.views:
        batches = pool_features(model, loader, stage, settings=settings, device=torch_device)
    summary = fit(
        model, settings, inputs, stage, loader=batches, device=torch_device, frozen=frozen
    )
    if settings.features.views:
        remove_features(stage)
    return summary | {name: len(names) for name, names in transfer.to_table().items()}
