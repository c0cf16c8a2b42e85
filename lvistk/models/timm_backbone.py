"""Any timm network with feature maps of stride 4 to 32 (an extra: ``lvistk[timm]``)."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.models.checkpointed import checkpointed
from lvistk.models.frozen_norm import with_frozen_norms

STRIDES = (4, 8, 16, 32)
TRIED_SIZES = ((96, 160), (224, 352))
"""Height and width of images that a network must take: whole cells of stride 32, else odd."""


Rgb = tuple[float, float, float]


class TimmBody(nn.Module):
    """A timm network cut down to its features.

    net: made by timm with ``features_only``.
    channels: widths of the four maps.
    names: modules that end in stride 4, 8, 16, 32.
    channels_last: of each map, whether the network gives (B, H, W, C).
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        channels: tuple[int, ...],
        names: Sequence[str],
        channels_last: Sequence[bool],
    ) -> None:
        super().__init__()
        self.net = net
        self.channels = channels
        self.names = tuple(names)
        self.channels_last = tuple(channels_last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: (B, 3, H, W). Returns four maps (B, channels[l], H / s, W / s)."""
        return [
            feature.permute(0, 3, 1, 2) if last else feature
            for feature, last in zip(self.net(images), self.channels_last, strict=True)
        ]

    def stages(self) -> list[list[nn.Module]]:
        """Modules of the stem, then those that end in stride 4, 8, 16, 32, in forward order.

        Errors: ``UserError`` where modules and stages do not follow each other so.
        """
        stages: list[list[nn.Module]] = [[]]
        ends = [{name, name.replace(".", "_")} for name in self.names]
        current: list[nn.Module] = []
        for name, module in _units(self.net, self.names):
            reached = len(stages) - 1
            if reached < len(ends) and name in ends[reached]:
                if reached == 0:
                    stages[0], current = current, []
                stages.append([*current, module])
                current = []
            else:
                current.append(module)
        if len(stages) != len(ends) + 1:
            raise UserError(
                "backbone.frozen_stages, deform: this timm network's modules are not its stages in "
                "order; set frozen_stages=0 and deform=none"
            )
        return stages


SMALL_POSITIONS = ("mvitv2_",)
"""How names begin of networks with position tables for 224 px, which the meta device does not check."""


class Maps(NamedTuple):
    """The maps of stride 4, 8, 16 and 32 that a network makes of images of any size.

    indices: which of timm's maps they are.
    channels, names, channels_last: see ``TimmBody``.
    """

    indices: tuple[int, ...]
    channels: tuple[int, ...]
    names: tuple[str, ...]
    channels_last: tuple[bool, ...]


def build(settings: BackboneSettings) -> TimmBody:
    """The network of the settings with random weights; ``UserError`` where timm can't make it, or where
    it works at one image size only."""
    if settings.width != 1 or settings.stride_in_1x1:
        raise UserError("backbone.width and stride_in_1x1 are for library 'torchvision' only")
    maps = _maps(settings.name)
    net = _with_norm(_create(settings.name, out_indices=maps.indices), settings)
    if settings.activation_checkpointing and not _checkpoint_blocks(net):
        raise UserError(f"backbone.activation_checkpointing: {settings.name} has no row of blocks")
    return TimmBody(net, channels=maps.channels, names=maps.names, channels_last=maps.channels_last)


def pretrained_weights(name: str) -> dict[str, Tensor]:
    """timm's own weights of a network, downloaded, under the names that ``build`` gives them."""
    try:
        return _create(name, out_indices=_maps(name).indices, pretrained=True).state_dict()
    except OSError as error:
        raise UserError(
            f"backbone.weights = 'imagenet': cannot download {name}: {error}; give a local file"
        ) from None


def pretrained_pixels(name: str) -> tuple[Rgb, Rgb]:
    """Mean and deviation of RGB, of 0 to 255, that timm's own weights of a network were trained with."""
    import timm

    known = timm.get_pretrained_cfg(name)
    if known is None:
        raise UserError(
            f"backbone.weights = 'imagenet': timm has no weights of {name}; give a local file"
        )
    mean, std = ((255 * r, 255 * g, 255 * b) for r, g, b in (known.mean, known.std))
    return mean, std


@lru_cache(maxsize=16)
def _maps(name: str) -> Maps:
    """Which maps a network makes, tried without memory or time on torch's meta device."""
    try:
        with torch.device("meta"):
            net = _create(name)
    except ImportError:
        raise UserError(
            "backbone.library = 'timm' needs timm: pip install 'lvistk[timm]'"
        ) from None
    except (RuntimeError, ValueError, AttributeError, TypeError, AssertionError) as error:
        raise UserError(
            f"backbone.name = '{name}': timm makes no feature maps of it: {error}"
        ) from None
    known: Any = net.feature_info  # timm's own class
    indices = tuple(i for i, stride in enumerate(known.reduction()) if stride in STRIDES)
    info = [known.info[i] for i in indices]
    if tuple(item["reduction"] for item in info) != STRIDES:
        raise UserError(f"backbone.name = '{name}': no feature maps of stride 4, 8, 16 and 32")
    channels = tuple(item["num_chs"] for item in info)
    order = _orders(net.eval(), indices, channels)
    if order is None or name.startswith(SMALL_POSITIONS):
        raise UserError(
            f"backbone.name = '{name}': this network does not take images of every size, as detection "
            "needs; choose another, such as a ResNeSt, EfficientNet, ConvNeXt or Swin"
        )
    return Maps(indices, channels, tuple(item["module"] for item in info), order)


@torch.no_grad()
def _orders(
    net: nn.Module, indices: Sequence[int], channels: Sequence[int]
) -> tuple[bool, ...] | None:
    """Of each map, whether its channels are last; None where the network fails or a map has other sizes."""
    orders: list[tuple[bool, ...]] = []
    for height, width in TRIED_SIZES:
        try:
            maps = net(torch.zeros(1, 3, height, width, device="meta"))
        except (RuntimeError, ValueError, AssertionError, TypeError):
            return None
        order = []
        for index, number, stride in zip(indices, channels, STRIDES, strict=True):
            shape, size = tuple(maps[index].shape[1:]), (height // stride, width // stride)
            if shape not in ((number, *size), (*size, number)):
                return None
            order.append(shape != (number, *size))
        orders.append(tuple(order))
    return orders[0] if len({*orders}) == 1 else None


def _create(
    name: str, *, out_indices: tuple[int, ...] | None = None, pretrained: bool = False
) -> nn.Module:
    """timm's network; where it checks the image's size, without that check."""
    import timm

    options: dict[str, Any] = {"features_only": True, "pretrained": pretrained}
    if out_indices is not None:
        options["out_indices"] = out_indices
    try:
        return timm.create_model(name, strict_img_size=False, **options)
    except TypeError:  # it has no such option
        return timm.create_model(name, **options)


def _with_norm(net: nn.Module, settings: BackboneSettings) -> nn.Module:
    from timm.layers.norm_act import convert_sync_batchnorm

    match settings.norm:
        case "frozen_bn":
            return with_frozen_norms(net)
        case "bn":
            return net
        case "sync_bn":
            return convert_sync_batchnorm(net)
        case "gn":
            raise UserError("backbone.norm = 'gn' is for library 'torchvision' only")


class CheckpointedBlocks(nn.Sequential):
    """Blocks in a row, whose insides are computed again in the backward pass.

    timm's own way keeps whole stages together, and ResNeSt-269's third has 48 blocks.
    """

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = checkpointed(block, x)
        return x


def _checkpoint_blocks(net: nn.Module) -> int:
    """Replace the innermost rows of blocks; returns how many there were."""
    replaced = 0
    for parent in reversed(list(net.modules())):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Sequential and len(child) and all(map(_is_block, child)):
                setattr(parent, name, CheckpointedBlocks(OrderedDict(child.named_children())))
                replaced += 1
    return replaced


def _is_block(module: nn.Module) -> bool:
    """Whether weights are in modules of its own, as a layer's are not, and in no row of blocks."""
    rows = any(isinstance(inner, CheckpointedBlocks) for inner in module.modules())
    return not rows and any(True for child in module.children() for _ in child.parameters())


def _units(net: nn.Module, names: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """Children in order; one that holds feature modules is opened."""
    for name, child in net.named_children():
        if any(feature.startswith(f"{name}.") for feature in names):
            yield from ((f"{name}.{inner}", module) for inner, module in child.named_children())
        else:
            yield name, child
