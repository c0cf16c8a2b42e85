"""The entry of this room: a checkpoint file of another toolbox in, a model of ours out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lvistk import console
from lvistk.config.importing import ImportWeightsInputs, ImportWeightsSettings
from lvistk.data.index.lvis_json import CategoryRecord, categories_of, read_category_records
from lvistk.errors import UserError
from lvistk.importing.category_rows import SourceRows, source_rows
from lvistk.importing.checkpoint_file import CheckpointFile, read_checkpoint_file
from lvistk.importing.coco_categories import coco_categories
from lvistk.importing.imported_model import import_model, model_settings, source_categories
from lvistk.importing.inferred_settings import detect_toolbox
from lvistk.importing.mmdet_config import Config, config_settings, input_style, read_config
from lvistk.importing.own_model import Imported, import_own_model
from lvistk.importing.parameter_names import Toolbox
from lvistk.importing.translation import Translation, translated
from lvistk.models.model_file import model_path
from lvistk.models.tensor_file import is_ours

NO_EPS_HASHES = ("bf2d0c1e",)
"""SHA-256 of torchvision's COCO weights of ``maskrcnn_resnet50_fpn``, trained with epsilon 0."""


def import_checkpoint(settings: ImportWeightsSettings, inputs: ImportWeightsInputs) -> Imported:
    """The model that ``inputs.checkpoint`` holds, under our names, with the wanted label set.

    Raises ``UserError`` naming the checkpoint where it is not one, or does not fit.
    """
    path = inputs.checkpoint
    assert path is not None  # the runner has checked the required inputs
    try:
        if is_ours(model_path(path)):
            return import_own_model(settings, inputs)
        return _import(_read(path, settings), settings, inputs)
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _import(
    file: CheckpointFile, settings: ImportWeightsSettings, inputs: ImportWeightsInputs
) -> Imported:
    toolbox = detect_toolbox(file.tensors) if settings.toolbox == "auto" else settings.toolbox
    config = _config(file) if toolbox == "mmdetection" else {}
    translation = _translation(file, settings, toolbox=toolbox, config=config)
    records = _records(inputs.categories)
    source = _source(settings, inputs, records, translation.weights())
    categories = coco_categories()
    if inputs.categories is not None:
        categories = categories_of(records, inputs.categories)
    model = model_settings(
        translation,
        file.tensors,
        num_source=len(source),
        coco=_is_coco(source),
        config=config_settings(config) if config.get("model") else {},
        changes=settings.model,
    )
    torch.manual_seed(settings.seed)
    built, entries = import_model(
        translation,
        model,
        categories,
        source=source,
        labels=settings.labels,
        names=[[record.name, *record.synonyms] for record in sorted(records, key=_id)],
    )
    return Imported(built, entries, toolbox, translation.style)


def _read(path: Path, settings: ImportWeightsSettings) -> CheckpointFile:
    """The file; a name without a tensor is an error unless the user has given it up."""
    file = read_checkpoint_file(path)
    strangers = [name for name in file.strangers if not name.startswith(settings.drop)]
    if strangers:
        raise UserError(
            f"{path}: '{strangers[0]}' is no tensor; leave it out with --drop {strangers[0]}"
        )
    return file


def _config(file: CheckpointFile) -> Config:
    """The configuration that mmdetection has left in the checkpoint; empty where it has not."""
    text = file.meta.get("cfg")
    config = read_config(text) if isinstance(text, str) else {}
    if not config.get("model"):
        console.warn(
            f"{file.path}: holds no configuration; what shapes don't tell is taken from "
            "mmdetection's usual models (a normed mask predictor: --set "
            "model.mask.normed_temperature=20)"
        )
    return config


def _translation(
    file: CheckpointFile, settings: ImportWeightsSettings, *, toolbox: Toolbox, config: Config
) -> Translation:
    eps = settings.norm_eps
    if eps is None and toolbox == "torchvision" and _hash(file.path) in NO_EPS_HASHES:
        eps = 0.0
    return translated(
        file.tensors,
        toolbox=toolbox,
        style=input_style(config) if settings.style == "auto" else settings.style,
        norm_eps=eps,
        drop=settings.drop,
    )


def _source(
    settings: ImportWeightsSettings,
    inputs: ImportWeightsInputs,
    records: Sequence[CategoryRecord],
    weights: dict[str, Tensor],
) -> SourceRows:
    """The checkpoint's label set in the order of its rows."""
    if inputs.source_categories is not None:
        records = _records(inputs.source_categories)
    if settings.categories_order == "id":
        records = sorted(records, key=_id)
    return source_rows(
        source_categories(weights, given=len(records) or None),
        ids=[record.id for record in records] or None,
        names=[[record.name, *record.synonyms] for record in records],
        needed=settings.labels != "leave_out",
    )


def _records(path: Path | None) -> list[CategoryRecord]:
    return [] if path is None else read_category_records(path)


def _is_coco(source: SourceRows) -> bool:
    return set(source.ids[source.ids > 0].tolist()) == set(coco_categories().ids.tolist())


def _id(record: CategoryRecord) -> int:
    return record.id


def _hash(path: Path) -> str:
    """The eight digits that torchvision puts into the names of its files."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:8]
