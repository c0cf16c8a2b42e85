"""A model of ours with the weights of a translated checkpoint, every tensor accounted for."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvistk.config.load import merge, update
from lvistk.config.model import ModelSettings
from lvistk.errors import UserError
from lvistk.importing import inferred_settings as fs
from lvistk.importing.category_rows import Labels, SourceRows, rows_of_labels
from lvistk.importing.translation import Entry, Translation, matching_reason
from lvistk.models.anchors import base_anchors
from lvistk.models.build import build_model
from lvistk.models.category_rows import rows_per_category, take_rows
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.categories import Categories

NEW = (
    (r"roi_heads\.mask\.area_ratio_prior", "new: 1 until training measures it (Eq. 1)"),
    (r".*\.classifier\.counts\.counts", "new: counted by training from 0"),
    (r".*\.num_batches_tracked", "new: a counter of batch norm in training"),
)
SEESAW = {"classifier": {"normed_temperature": 20.0}}
"""All of mmdetection's Seesaw models compare directions in the classifier."""


def source_categories(weights: Mapping[str, Tensor], *, given: int | None) -> int:
    """How many categories the foreign model has; ``given`` those that the user names, if any."""
    return fs.category_rows(weights, num_categories=given)


def model_settings(
    imported: Translation,
    tensors: Mapping[str, Tensor],
    *,
    num_source: int,
    coco: bool,
    config: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> ModelSettings:
    """Settings of the toolbox's usual models, then ``config`` of this one, then told by the tensors,
    then ``changes``."""
    weights = imported.weights()
    shapes = fs.shape_settings(weights, num_categories=num_source)
    stages = len(shapes.get("cascade", {}).get("ious", [0.5]))
    preset = fs.toolbox_settings(imported.toolbox, style=imported.style, stages=stages, coco=coco)
    if imported.toolbox == "mmdetection" and shapes["classifier"]["kind"] == "seesaw":
        preset = merge(preset, SEESAW)
    table = merge(merge(preset, config), shapes)
    table |= _pixel_settings(tensors, imported.style)
    settings = update(ModelSettings(), table, where=imported.toolbox)
    _check_anchors(tensors, settings)
    return update(settings, changes, where="import-weights model")


def import_model(
    imported: Translation,
    settings: ModelSettings,
    categories: Categories,
    *,
    source: SourceRows,
    labels: Labels,
    names: Sequence[Sequence[str]],
) -> tuple[MaskRCNN, list[Entry]]:
    """Our model with the foreign weights, and what became of every tensor of both.

    names: each of our categories' name and synonyms, for ``labels = "by_name"``. Raises ``UserError`` where
    a tensor of ours has no source and no reason to be new, or a shape differs.
    """
    rows = rows_of_labels(source, categories, labels=labels, names=names)
    model = build_model(settings, categories)
    own = model.state_dict()
    entries = list(imported.dropped)
    for name, part in imported.parts.items():
        shape = tuple(part.value.shape)
        if name not in own:
            raise UserError(
                f"'{part.source}' would be '{name}', which a model with these settings lacks; check --set"
            )
        each = rows_per_category(name, settings)
        if each and labels == "leave_out":
            entries.append(Entry(part.source, name, shape, "dropped: rows of other categories"))
            continue
        if each:
            extra = len(part.value) - each * len(source)
            if extra != len(own[name]) - each * len(categories):
                raise UserError(
                    f"'{part.source}' has {extra} rows beyond those of {len(source)} categories, "
                    f"'{name}' {len(own[name]) - each * len(categories)}; check --set, or leave the "
                    "categories' rows out with --labels leave_out"
                )
            value = take_rows(own[name], part.value, rows, source=len(source), each=each)
            part.change(value, _told(rows, len(source)))
        if part.value.shape != own[name].shape:
            raise UserError(
                f"'{part.source}' is {shape} and '{name}' of a model with these settings "
                f"{tuple(own[name].shape)}; check --set"
            )
        own[name].copy_(part.value)
        done = ", ".join(filter(None, part.done)) or "copied"
        entries.append(Entry(part.source, name, shape, done))
    entries += _new_entries(own, imported)
    return model.eval(), entries


def _new_entries(own: Mapping[str, Tensor], imported: Translation) -> list[Entry]:
    entries, lost = [], []
    for name, value in own.items():
        if name in imported.parts:
            continue
        reason = matching_reason(name, NEW)
        if reason is None:
            lost.append(name)
        else:
            entries.append(Entry("", name, tuple(value.shape), reason))
    if lost:
        raise UserError(
            f"the checkpoint lacks {len(lost)} of {len(own)} tensors, first '{lost[0]}': import the model "
            "as it is, and let finetune --set model... add new parts"
        )
    return entries


def _told(rows: np.ndarray, source: int) -> str:
    """What ``take_rows`` has done; nothing where all rows stayed where they were."""
    if np.array_equal(rows, np.arange(source)):
        return ""
    taken, new = int((rows >= 0).sum()), int((rows < 0).sum())
    fresh = f", {new} new" if new else ""
    return f"rows of {taken} of {source} categories{fresh}"


def _pixel_settings(tensors: Mapping[str, Tensor], style: fs.Style) -> dict[str, Any]:
    """What a checkpoint itself says of its input; in RGB."""
    settings = {}
    for name, field in (("pixel_mean", "image_mean"), ("pixel_std", "image_std")):
        if name in tensors:
            values = tensors[name].flatten()
            settings[field] = (values if style == "pytorch" else values.flip(0)).tolist()
    return settings


def _check_anchors(tensors: Mapping[str, Tensor], settings: ModelSettings) -> None:
    """detectron2 stores its anchors: they must be the ones that the settings make."""
    for name, value in tensors.items():
        match = re.fullmatch(r".*\.cell_anchors\.(\d)", name)
        if not match:
            continue
        ours = base_anchors(settings.rpn.anchor_sizes[int(match[1])], settings.rpn)
        if value.shape != ours.shape or not torch.allclose(value.float(), ours, atol=0.01):
            raise UserError(
                f"'{name}' holds other anchors than sizes {settings.rpn.anchor_sizes} and ratios "
                f"{settings.rpn.aspect_ratios}; give theirs with --set model.rpn.anchor_sizes=..."
            )
