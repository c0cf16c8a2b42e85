"""The tensors of a detector of detectron2, mmdetection or torchvision under our names and conventions."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from lvistk.errors import UserError
from lvistk.importing import inferred_settings as fs
from lvistk.importing.parameter_names import Toolbox, rows_from_torchvision, translate

NOT_NEEDED = (
    (r".*\.num_batches_tracked", "dropped: a counter of batch norm in training"),
    (r"pixel_(mean|std)", "dropped: became image_mean and image_std"),
    (r".*\.anchor_generator\..*", "dropped: anchors are settings, and equal"),
    (r"data_preprocessor\..*", "dropped: the input's mean and deviation are settings"),
    (r"ema_[^.]+", "dropped: the EMA hook of mmdetection saves averages under the plain names"),
)
FROZEN_EPS = 1e-5


@dataclass(frozen=True)
class Entry:
    """What became of one tensor: ``source`` there, ``target`` here (empty where there is none)."""

    source: str
    target: str
    shape: tuple[int, ...]
    action: str


@dataclass
class Part:
    """A tensor on its way: where from, its value under our conventions, what was done to it."""

    source: str
    value: Tensor
    done: list[str]

    def change(self, value: Tensor, what: str) -> None:
        self.value = value
        self.done.append(what)


@dataclass(frozen=True)
class Translation:
    """The foreign side, once translated: parts under our names, and what was left out."""

    toolbox: Toolbox
    style: fs.Style
    parts: Mapping[str, Part]
    dropped: tuple[Entry, ...]

    def weights(self) -> dict[str, Tensor]:
        return {name: part.value for name, part in self.parts.items()}


def translated(
    tensors: Mapping[str, Tensor],
    *,
    toolbox: Toolbox,
    style: fs.Style | None,
    norm_eps: float | None,
    drop: Sequence[str],
) -> Translation:
    """The tensors under our names and conventions, but with the rows of their own label set.

    style: None finds it out. norm_eps: what the toolbox adds to batch norm's variances, None: 1e-5. drop:
    beginnings of names that the user gives up. Raises ``UserError`` naming the tensors that have no
    counterpart in our models.
    """
    parts: dict[str, Part] = {}
    dropped, unknown = [], []
    for source, value in tensors.items():
        target = translate(source, toolbox)
        reason = matching_reason(source, NOT_NEEDED)
        if any(source.startswith(beginning) for beginning in drop):
            reason = "dropped: asked for by drop"
        elif target is not None:
            parts[target] = Part(source, value, [])
            continue
        if reason is None:
            unknown.append(source)
        else:
            dropped.append(Entry(source, "", tuple(value.shape), reason))
    if unknown:
        raise UserError(_no_place(unknown, len(tensors), toolbox))
    style = style or fs.detect_style({name: part.value for name, part in parts.items()})
    result = Translation(toolbox, style, parts, tuple(dropped))
    _to_our_conventions(result, norm_eps)
    return result


def _to_our_conventions(imported: Translation, norm_eps: float | None) -> None:
    for name, part in imported.parts.items():
        if imported.toolbox == "torchvision":
            moved = rows_from_torchvision(part.source, part.value)
            if moved is not part.value:
                first = "moved last" if ".cls_score." in part.source else "left out"
                part.change(moved, f"background's rows {first}")
        if name == "backbone.body.conv1.weight" and imported.style != "pytorch":
            part.change(part.value.flip(1), "input channels turned from BGR to RGB")
        if norm_eps is not None and name.endswith("running_var") and norm_eps != FROZEN_EPS:
            part.change(part.value + (norm_eps - FROZEN_EPS), f"epsilon {norm_eps:g} kept")
        if name.endswith(".counts.counts"):
            part.change(part.value[:-1].round().long(), "background's count left out")
        if name.endswith("conv2.weight"):
            offset = imported.parts.get(name.replace(".weight", ".offset.weight"))
            if offset is not None and offset.value.shape[0] == 27:
                part.change(part.value / 2, "halved: our modulation is 2 * sigmoid")


def matching_reason(name: str, reasons: Sequence[tuple[str, str]]) -> str | None:
    return next((reason for pattern, reason in reasons if re.fullmatch(pattern, name)), None)


def _no_place(unknown: Sequence[str], total: int, toolbox: str) -> str:
    hints: tuple[tuple[str, Callable[[str], bool], str], ...] = (
        (
            "torchvision",
            lambda name: bool(re.match(r"roi_heads\.box_head\.\d", name)),
            "a v2 model, whose heads are four convolutions with batch norm: train from the first version",
        ),
        (
            "mmdetection",
            lambda name: ".semantic_head." in name,
            "a semantic branch, which our HTC lacks; give it up with --drop roi_head.semantic_head",
        ),
        (
            "detectron2",
            lambda name: ".box_head.conv" in name,
            "a box head of convolutions; lvistk's has fully connected layers only",
        ),
    )
    for owner, fits, reason in hints:
        if owner == toolbox and any(map(fits, unknown)):
            return f"{len(unknown)} of {total} tensors fit nowhere: {reason}"
    shown = ", ".join(unknown[:3])
    return (
        f"{len(unknown)} of {total} tensors fit nowhere in a model of ours, such as {shown}; give them up "
        "with --drop and the beginning of their names if the model can do without"
    )
