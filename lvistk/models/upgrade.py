"""A stage 1 model made into another: its weights where they fit, new parts where they don't."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lvistk.config.model import ModelSettings
from lvistk.models.box_head import BoxHead
from lvistk.models.build import build_model
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.structures.categories import Categories


@dataclass(frozen=True)
class Transfer:
    """What became of the weights, by name: ``copied`` as they are, ``new`` parts, old ones
    ``replaced`` by a new part of the same name, old ones ``dropped``."""

    copied: tuple[str, ...]
    new: tuple[str, ...]
    replaced: tuple[str, ...]
    dropped: tuple[str, ...]

    def to_table(self) -> dict[str, list[str]]:
        names = ("copied", "new", "replaced", "dropped")
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
) -> tuple[MaskRCNN, Transfer]:
    """A model of ``settings`` that starts from the weights of ``old``; both have the same labels.

    A tensor is copied when name and shape are the same. A classifier whose kind or groups change
    starts anew even where its shape happens to fit, since its channels mean something else; the
    priors of Eq. 1 are those given.
    """
    new = build_model(settings=settings, categories=categories, area_ratio_prior=area_ratio_prior)
    same = _same_channels(old, new)
    theirs, ours = old.state_dict(), new.state_dict()
    fits = [name for name in ours if name in theirs and _fits(theirs[name], ours[name], name, same)]
    with torch.no_grad():
        for name in fits:
            ours[name].copy_(theirs[name])
    return new, Transfer(
        copied=tuple(fits),
        new=tuple(name for name in ours if name not in theirs),
        replaced=tuple(name for name in ours if name in theirs and name not in fits),
        dropped=tuple(name for name in theirs if name not in ours),
    )


def _fits(theirs: Tensor, ours: Tensor, name: str, same_channels: bool) -> bool:
    if name.endswith("area_ratio_prior") or (".classifier." in name and not same_channels):
        return False
    return theirs.shape == ours.shape


def _same_channels(old: MaskRCNN, new: MaskRCNN) -> bool:
    """Whether the classifier's channels keep their meaning."""
    heads = [model.roi_heads.box_heads[0] for model in (old, new)]
    first, second = (head.classifier.channels for head in heads if isinstance(head, BoxHead))
    return first == second
