"""A stage 1 model made into another: its weights where they fit, new parts where they don't."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lvistk.config.model import ModelSettings
from lvistk.models.box_head import BoxHead
from lvistk.models.build import build_model
from lvistk.models.category_rows import rows_per_category, take_rows
from lvistk.models.classifiers.classifier import Classifier
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.categories import Categories

_CASCADE_STAGE = re.compile(r"(roi_heads\.(?:box_heads|mask\.stages))\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Transfer:
    """What became of the weights, by name.

    copied: taken over as they are.
    adapted: made from the old ones, as group softmax's rows are, or those of another label set.
    new: parts that the old model lacks.
    replaced: old ones in whose place a new part of the same name starts at random.
    dropped: old ones without a successor.
    """

    copied: tuple[str, ...]
    adapted: tuple[str, ...]
    new: tuple[str, ...]
    replaced: tuple[str, ...]
    dropped: tuple[str, ...]

    def to_table(self) -> dict[str, list[str]]:
        names = ("copied", "adapted", "new", "replaced", "dropped")
        return {name: list(getattr(self, name)) for name in names}

    def line(self) -> str:
        """How many of each, for a person."""
        return ", ".join(f"{len(names)} weights {name}" for name, names in self.to_table().items())


def upgrade_model(
    old: MaskRCNN,
    *,
    settings: ModelSettings,
    categories: Categories,
    area_ratio_prior: Tensor | None,
    rows: np.ndarray | None = None,
) -> tuple[MaskRCNN, Transfer]:
    """A model of ``settings`` that starts from the weights of ``old``.

    rows: (C,) the label in ``old`` of each of ``categories``, -1 for one that starts anew; None where
    both have the same labels.

    A tensor is copied when name and shape are the same. A classifier of another kind starts from the
    old one's rows (``Classifier.start_from``), one of other groups anew: its channels mean something
    else, even where its shape happens to fit. Stages of a longer cascade start from the old one's last
    (ours). The priors of Eq. 1 are those given.
    """
    new = build_model(settings=settings, categories=categories, area_ratio_prior=area_ratio_prior)
    same = _same_channels(old, new)
    ours, longer = new.state_dict(), _later_stages(old, new)
    theirs = old.state_dict() | longer
    fits = [name for name in ours if name in theirs and _fits(theirs[name], ours[name], name, same)]
    if (
        rows is not None
    ):  # rows of other categories mean something else, even where their number fits
        fits = [n for n in fits if ".classifier." not in n and not rows_per_category(n, settings)]
    with torch.no_grad():
        for name in fits:
            ours[name].copy_(theirs[name])
    if rows is not None:
        adapted = _adapt_rows(old, new, rows, theirs) + _adapt_classifiers(old, new, rows)
    else:
        adapted = [] if same else _adapt_classifiers(old, new)
    copied = [name for name in fits if name not in longer]
    return new, Transfer(
        copied=tuple(copied),
        adapted=(*adapted, *(name for name in fits if name in longer)),
        new=tuple(name for name in ours if name not in theirs),
        replaced=tuple(n for n in ours if n in theirs and n not in fits and n not in adapted),
        dropped=tuple(name for name in theirs if name not in ours),
    )


def _later_stages(old: MaskRCNN, new: MaskRCNN) -> dict[str, Tensor]:
    """Weights for the cascade stages that ``old`` lacks, from its last; each predicts the same box."""
    theirs, made = old.state_dict(), {}
    for name in new.state_dict():
        stage = _CASCADE_STAGE.match(name)
        if stage is None or name in theirs:
            continue
        kind, number, rest = stage[1], int(stage[2]), stage[3]
        numbers = [int(m[2]) for m in map(_CASCADE_STAGE.match, theirs) if m and m[1] == kind]
        source = f"{kind}.{max(numbers, default=-1)}.{rest}"
        if source not in theirs:
            continue
        made[name] = theirs[source]
        if rest.startswith("regression."):
            made[name] = _rescaled(theirs[source], old, new, number)
    return made


def _rescaled(values: Tensor, old: MaskRCNN, new: MaskRCNN, stage: int) -> Tensor:
    """Weights or biases of box deltas, whose unit is each stage's own."""
    before, after = old.settings.cascade.box_weights[-1], new.settings.cascade.box_weights[stage]
    ratio = (values.new_tensor(after) / values.new_tensor(before)).repeat(len(values) // 4)
    return values * ratio.view(-1, *(1,) * (values.dim() - 1))


def _fits(theirs: Tensor, ours: Tensor, name: str, same_channels: bool) -> bool:
    if name.endswith("area_ratio_prior") or (".classifier." in name and not same_channels):
        return False
    return theirs.shape == ours.shape


def _adapt_rows(
    old: MaskRCNN, new: MaskRCNN, rows: np.ndarray, theirs: Mapping[str, Tensor]
) -> list[str]:
    """Copy the rows of the categories that ``old`` has; names of the weights that this made.

    theirs: the weights of ``old``, and what later stages of a cascade start from.

    Groups of a group softmax depend on the label set, so that one of another set says nothing to it.
    """
    ours = new.state_dict()
    kind, before = new.settings.classifier.kind, len(old.categories)
    same_kind = kind == old.settings.classifier.kind != "group_softmax"
    names = []
    for name, value in ours.items():
        each = rows_per_category(name, new.settings)
        comparable = each and name in theirs and each == rows_per_category(name, old.settings)
        if not comparable or name.endswith(".counts.counts"):
            continue
        extra = [len(value) - each * len(rows), len(theirs[name]) - each * before]
        fits = extra[0] == extra[1] and value.shape[1:] == theirs[name].shape[1:]
        if fits and (same_kind or ".classifier." not in name):
            value.copy_(take_rows(value, theirs[name], rows, source=before, each=each))
            names.append(name)
    return names


def _adapt_classifiers(old: MaskRCNN, new: MaskRCNN, rows: np.ndarray | None = None) -> list[str]:
    """Start classifiers from those of another kind; names of the weights that this made."""
    names = []
    sources, targets = _classifiers(old), _classifiers(new)
    sources += sources[-1:] * (len(targets) - len(sources))  # of a longer cascade: from the last
    for stage, (theirs, ours) in enumerate(zip(sources, targets, strict=False)):
        if theirs.linear.in_features == ours.linear.in_features and ours.start_from(theirs, rows):
            prefix = f"roi_heads.box_heads.{stage}.classifier.linear"
            names += [f"{prefix}.weight", f"{prefix}.bias"]
    return names


def _classifiers(model: MaskRCNN) -> list[Classifier]:
    return [head.classifier for head in model.roi_heads.box_heads if isinstance(head, BoxHead)]


def _same_channels(old: MaskRCNN, new: MaskRCNN) -> bool:
    """Whether the classifier's channels keep their meaning."""
    return _classifiers(old)[0].channels == _classifiers(new)[0].channels
