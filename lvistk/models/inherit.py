"""Settings that trained weights were trained with, and without which they mean something else."""

from typing import Any

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.errors import UserError

INHERITED = (
    "image_mean",
    "image_std",
    "backbone.stride_in_1x1",
    "rpn.anchor_sizes",
    "rpn.aspect_ratios",
    "rpn.rounded_anchors",
    "rpn.fitted_strides",
    "box.aligned",
    "box.sampling_ratio",
    "mask.sampling_ratio",
)
"""The input, anchors and RoIAlign: no shape tells them, so that a difference would go unnoticed."""


def inherited_settings(
    wanted: ModelSettings, old: ModelSettings, *, source: str
) -> tuple[ModelSettings, tuple[str, ...]]:
    """``wanted`` with the input, anchors and RoIAlign of the model ``source``, and the names of what changed.

    A setting that still has its default takes the value of ``old``. Raises ``UserError`` for one that was
    changed to a third value: the weights would not fit it.
    """
    default, changes, names = ModelSettings(), {}, []
    for name in INHERITED:
        asked, theirs = _value(wanted, name), _value(old, name)
        if asked == theirs:
            continue
        if asked != _value(default, name):
            raise UserError(
                f"model.{name} = {_shown(asked)}, but the weights of {source} were trained with "
                f"{_shown(theirs)}; leave the setting out, or start from other weights"
            )
        room, _, field = name.rpartition(".")
        (changes.setdefault(room, {}) if room else changes)[field] = _plain(theirs)
        names.append(name)
    return update(wanted, changes, where=f"{source} settings"), tuple(names)


def _value(settings: ModelSettings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    return str(_plain(value)).lower() if isinstance(value, bool) else str(_plain(value))
