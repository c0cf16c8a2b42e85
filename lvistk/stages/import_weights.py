"""``import-weights``: a checkpoint of another toolbox as a model that every stage takes."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.stages import ImportWeightsInputs, ImportWeightsSettings
from lvistk.data.index.lvis_json import CategoryRecord, categories_of, read_category_records
from lvistk.errors import UserError
from lvistk.importing.category_rows import SourceRows, source_rows
from lvistk.importing.checkpoint_file import CheckpointFile, read_checkpoint_file
from lvistk.importing.coco_categories import coco_categories
from lvistk.importing.inferred_settings import detect_toolbox
from lvistk.importing.mmdet_config import config_settings, input_style, read_config
from lvistk.importing.translation import (
    Entry,
    import_model,
    model_settings,
    source_categories,
    translated,
)
from lvistk.models.model_file import MODEL, save_model
from lvistk.structures.categories import Categories
from lvistk.whole_file import write_json

REQUIRED = ("checkpoint",)
OUTPUTS = (MODEL, "import.json")
NO_EPS_HASHES = ("bf2d0c1e",)
"""SHA-256 of torchvision's COCO weights of ``maskrcnn_resnet50_fpn``, trained with epsilon 0."""


def run(
    settings: ImportWeightsSettings,
    inputs: ImportWeightsInputs,
    stage: StageFolder,
    *,
    device: str,
) -> dict[str, Any]:
    """Write ``model.safetensors`` and ``import.json``, the table of all tensors that is printed too.

    Runs on the CPU in seconds, so that a run that was stopped starts anew.
    """
    if inputs.checkpoint is None or device != "cpu":
        raise ValueError("the runner checks inputs and chooses the CPU")
    file = _read(inputs.checkpoint, settings)
    toolbox = detect_toolbox(file.tensors) if settings.toolbox == "auto" else settings.toolbox
    eps = settings.norm_eps
    if eps is None and toolbox == "torchvision" and _hash(inputs.checkpoint) in NO_EPS_HASHES:
        eps = 0.0
    try:
        config = read_config(str(file.meta.get("cfg", ""))) if toolbox == "mmdetection" else {}
        if toolbox == "mmdetection" and not config.get("model"):
            console.warn(
                f"{inputs.checkpoint}: holds no configuration; what shapes don't tell is taken from "
                "mmdetection's usual models (a normed mask predictor: --set "
                "model.mask.normed_temperature=20)"
            )
        imported = translated(
            file.tensors,
            toolbox=toolbox,
            style=input_style(config) if settings.style == "auto" else settings.style,
            norm_eps=eps,
            drop=settings.drop,
        )
        records = _records(inputs.categories)
        source = _source(settings, inputs, records, imported.weights())
        categories = _wanted(inputs.categories, records)
        model = model_settings(
            imported,
            file.tensors,
            num_source=len(source),
            coco=_is_coco(source),
            config=config_settings(config) if config.get("model") else {},
            changes=settings.model,
        )
        torch.manual_seed(settings.seed)
        built, entries = import_model(
            imported,
            model,
            categories,
            source=source,
            labels=settings.labels,
            names=[[record.name, *record.synonyms] for record in sorted(records, key=_id)],
        )
    except UserError as error:
        raise UserError(f"{inputs.checkpoint}: {error}") from None
    console.say(f"{inputs.checkpoint.name}: {toolbox}, input of style {imported.style}")
    for line in _lines(entries):
        console.say(line)
    save_model(stage.file(MODEL), built, extra={"imported": _origin(inputs.checkpoint, toolbox)})
    write_json(stage.file("import.json"), [dataclasses.asdict(entry) for entry in entries])
    return {"toolbox": toolbox, "style": imported.style, "categories": len(categories)} | _counts(
        entries
    )


def _read(path: Path, settings: ImportWeightsSettings) -> CheckpointFile:
    """The file; a name without a tensor is an error unless the user has given it up."""
    file = read_checkpoint_file(path)
    strangers = [name for name in file.strangers if not name.startswith(settings.drop)]
    if strangers:
        raise UserError(
            f"{path}: '{strangers[0]}' is no tensor; leave it out with --drop {strangers[0]}"
        )
    return file


def _records(path: Path | None) -> list[CategoryRecord]:
    return [] if path is None else read_category_records(path)


def _source(
    settings: ImportWeightsSettings,
    inputs: ImportWeightsInputs,
    records: Sequence[CategoryRecord],
    weights: dict[str, torch.Tensor],
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
    )


def _wanted(path: Path | None, records: list[CategoryRecord]) -> Categories:
    return coco_categories() if path is None else categories_of(records, path)


def _is_coco(source: SourceRows) -> bool:
    return set(source.ids[source.ids > 0].tolist()) == set(coco_categories().ids.tolist())


def _id(record: CategoryRecord) -> int:
    return record.id


def _hash(path: Path) -> str:
    """The eight digits that torchvision puts into the names of its files."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:8]


def _origin(path: Path, toolbox: str) -> dict[str, str]:
    return {"file": path.name, "toolbox": toolbox}


def _lines(entries: Sequence[Entry]) -> list[str]:
    """The table as lines of aligned columns, one a tensor, that a search finds whole."""
    rows = [("there", "here", "shape", "what was done")]
    for entry in entries:
        shape = "x".join(map(str, entry.shape)) or "()"
        rows.append((entry.source or "-", entry.target or "-", shape, entry.action))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]


def _counts(entries: Sequence[Entry]) -> dict[str, int]:
    """How many tensors were copied as they are, changed, dropped, or are new."""
    first = [entry.action.partition(":")[0] for entry in entries]
    known = {name: first.count(name) for name in ("copied", "dropped", "new")}
    return known | {"changed": len(entries) - sum(known.values())}
