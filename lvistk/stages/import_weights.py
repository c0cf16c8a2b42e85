"""``import-weights``: a checkpoint of another toolbox as a model that every stage takes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.importing import ImportWeightsInputs, ImportWeightsSettings
from lvistk.importing.importer import import_checkpoint
from lvistk.importing.translation import Entry
from lvistk.models.model_file import MODEL, save_model
from lvistk.stages.model_card import write_card
from lvistk.whole_file import write_json


def run(
    settings: ImportWeightsSettings,
    inputs: ImportWeightsInputs,
    stage: StageFolder,
) -> dict[str, Any]:
    """Write ``model.safetensors`` and ``import.json``, the table of all tensors that is printed too.

    Runs on the CPU in seconds, so that a run that was stopped starts anew.
    """
    assert inputs.checkpoint is not None  # the runner has checked that it is given
    imported = import_checkpoint(settings, inputs)
    toolbox, style, entries = imported.toolbox, imported.style, imported.entries
    console.say(f"{inputs.checkpoint.name}: {toolbox}, input of style {style}")
    for line in _lines(entries):
        console.say(line)
    origin = {"file": inputs.checkpoint.name, "toolbox": toolbox}
    save_model(stage.file(MODEL), imported.model, extra={"imported": origin})
    write_json(stage.file("import.json"), [dataclasses.asdict(entry) for entry in entries])
    categories = len(imported.model.categories)
    write_card(stage.path, summary={}, manifest=stage.manifest)
    return {"toolbox": toolbox, "style": style, "categories": categories} | _counts(entries)


def _lines(entries: Sequence[Entry]) -> list[str]:
    """The table as lines of aligned columns, one per tensor, that a search finds whole."""
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
