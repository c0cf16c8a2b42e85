"""Pretrained weights of a backbone: the library's download, or a local file."""

import re
from collections.abc import Mapping
from pathlib import Path

import torchvision
from torch import Tensor, nn

from lvistk.config.load import expanded
from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.importing.checkpoint_file import read_checkpoint_file
from lvistk.models import timm_backbone
from lvistk.models.backbone import Backbone
from lvistk.models.deform_conv import offset_names

Weights = Mapping[str, Tensor]

OWN_PREFIXES = ("backbone.body.net.", "backbone.body.", "body.", "module.", "model.", "backbone.")
LITE_HEADS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
LITE_BLOCK = (
    {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"},
    {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    },
)
"""A block without and with expansion: names of efficientnet-lite-pytorch to timm's."""


def load_backbone_weights(backbone: Backbone, settings: BackboneSettings) -> tuple[str, ...]:
    """Fill a backbone with ``settings.weights``; nothing happens where that is empty.

    Files may name tensors as torchvision, timm, lvistk or efficientnet-lite-pytorch do. Returns the
    names that the file has and the backbone doesn't (a classifier, as a rule). Errors: ``UserError``
    for a file that can't be read, or that lacks a tensor of the backbone or has it in another shape.
    """
    if not settings.weights:
        return ()
    return fill(backbone.network, _weights(settings), source=settings.weights)


def _weights(settings: BackboneSettings) -> Weights:
    if settings.weights != "imagenet":
        return read_weights(expanded(settings.weights))
    match settings.library:
        case "torchvision":
            return _torchvision_weights(settings.name)
        case "timm":
            return timm_backbone.pretrained_weights(settings.name)


def fill(net: nn.Module, weights: Weights, *, source: str) -> tuple[str, ...]:
    """Copy ``weights`` into ``net``; returns the names that were not needed.

    Offsets of deformable convolutions, which weights of a rigid network lack, stay as they are.
    """
    own = net.state_dict()
    weights = _translated(weights, own)
    offsets = offset_names(net)
    needed = [n for n in own if not n.endswith("num_batches_tracked") and n not in offsets]
    missing = [name for name in needed if name not in weights]
    if missing:
        raise UserError(
            f"{source}: {len(missing)} of {len(needed)} tensors are missing for this backbone, first "
            f"'{missing[0]}'; check backbone.library and name"
        )
    for name in needed:
        if weights[name].shape != own[name].shape:
            raise UserError(
                f"{source}: '{name}' is {tuple(weights[name].shape)}, the backbone needs "
                f"{tuple(own[name].shape)}; check backbone.name and width"
            )
    unused = tuple(name for name in weights if name not in own or name in offsets)
    if any(name.endswith("running_mean") and _sibling(name) in own for name in unused):
        raise UserError(f"{source}: weights of batch norm; set backbone.norm to frozen_bn or bn")
    net.load_state_dict({n: own[n] if n in offsets else weights.get(n, own[n]) for n in own})
    return unused


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, from any file that ``read_checkpoint_file`` reads; no pickle is executed."""
    try:
        return read_checkpoint_file(path).tensors
    except UserError as error:
        raise UserError(f"{error} (backbone.weights)") from None


def _torchvision_weights(name: str) -> Weights:
    try:
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
        return weights.get_state_dict(check_hash=True)
    except ValueError:
        raise UserError(
            f"backbone.weights = 'imagenet': torchvision has no weights of {name}; give a local file"
        ) from None
    except OSError as error:
        raise UserError(
            f"backbone.weights = 'imagenet': cannot download {name}: {error}; give a local file"
        ) from None


def _translated(weights: Weights, own: Weights) -> Weights:
    """``weights`` under the names of ``own``."""
    for prefix in OWN_PREFIXES:
        inside = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        if inside and not any(name.startswith(prefix) for name in own):
            weights = inside
            break
    if "_conv_stem.weight" in weights:
        return _from_efficientnet_lite(weights, own)
    if all(name in weights or name.endswith("num_batches_tracked") for name in own):
        return weights
    # timm flattens some networks when it cuts them: stages.0.x becomes stages_0.x.
    flat = {name.replace(".", "_"): name for name in own}
    return {flat.get(name.replace(".", "_"), name): value for name, value in weights.items()}


def _from_efficientnet_lite(weights: Weights, own: Weights) -> dict[str, Tensor]:
    """Blocks are numbered through there, and by stage in timm."""
    blocks = list(
        dict.fromkeys(m[0] for name in own if (m := re.match(r"blocks\.\d+\.\d+\.", name)))
    )
    translated = {}
    for name, value in weights.items():
        head, _, rest = name.partition(".")
        if head == "_blocks":
            number, part, field = rest.split(".")
            expands = f"_blocks.{number}._expand_conv.weight" in weights
            if int(number) < len(blocks):
                name = f"{blocks[int(number)]}{LITE_BLOCK[expands][part]}.{field}"
        elif head in LITE_HEADS:
            name = f"{LITE_HEADS[head]}.{rest}"
        translated[name] = value
    return translated


def _sibling(name: str) -> str:
    return name.replace("running_mean", "weight")
