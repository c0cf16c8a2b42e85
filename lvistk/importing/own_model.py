"""A model of lvistk as the source of an import: other settings, another label set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lvistk.config.importing import ImportWeightsInputs, ImportWeightsSettings
from lvistk.config.load import update
from lvistk.data.index.lvis_json import categories_of, read_category_records
from lvistk.importing.category_rows import rows_of_labels, rows_of_model
from lvistk.importing.translation import Entry
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model
from lvistk.models.upgrade import Transfer, upgrade_model

ACTIONS = {
    "copied": "copied",
    "adapted": "rows by category",
    "new": "new: not in the source",
    "replaced": "new: of another shape or label set",
    "dropped": "dropped: no part of this model",
}


@dataclass(frozen=True)
class Imported:
    """A finished import.

    model: ours, in eval mode, with the checkpoint's weights.
    entries: what became of every tensor of the checkpoint and of ours.
    toolbox: who wrote the checkpoint.
    style: how its backbone wants the input.
    """

    model: MaskRCNN
    entries: Sequence[Entry]
    toolbox: str
    style: str


def import_own_model(settings: ImportWeightsSettings, inputs: ImportWeightsInputs) -> Imported:
    """The model at ``inputs.checkpoint`` with the wanted categories, whose rows go as ``labels`` says."""
    assert inputs.checkpoint is not None  # the runner has checked the required inputs
    old = load_model(inputs.checkpoint, device=torch.device("cpu"))
    categories, rows = old.categories, None
    if inputs.categories is not None:
        records = sorted(read_category_records(inputs.categories), key=lambda record: record.id)
        categories = categories_of(records, inputs.categories)
        rows = rows_of_labels(
            rows_of_model(old.categories),
            categories,
            labels=settings.labels,
            names=[[record.name, *record.synonyms] for record in records],
        )
    torch.manual_seed(settings.seed)
    model, transfer = upgrade_model(
        old,
        settings=update(old.settings, settings.model, where="import-weights model"),
        categories=categories,
        area_ratio_prior=_prior(old, rows),
        rows=rows,
    )
    return Imported(model.eval(), _entries(transfer, old, model), "lvistk", "pytorch")


def _prior(old: MaskRCNN, rows: np.ndarray | None) -> Tensor | None:
    """The area ratios of Eq. 1 that ``old`` has measured; 1 for a category that it does not know."""
    if old.roi_heads.mask is None:
        return None
    known = old.roi_heads.mask.area_ratio_prior
    if rows is None:
        return known.clone()
    taken = known[torch.from_numpy(rows.clip(0))]
    return torch.where(torch.from_numpy(rows >= 0), taken, 1.0)


def _entries(transfer: Transfer, old: MaskRCNN, new: MaskRCNN) -> list[Entry]:
    theirs, ours = old.state_dict(), new.state_dict()
    entries = []
    for kind, names in transfer.to_table().items():
        for name in names:
            source = name if kind not in ("new", "replaced") else ""
            target = name if kind != "dropped" else ""
            shape = tuple((theirs if kind == "dropped" else ours)[name].shape)
            entries.append(Entry(source, target, shape, ACTIONS[kind]))
    return entries
