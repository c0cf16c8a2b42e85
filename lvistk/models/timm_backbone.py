"""Any timm network with feature maps of stride 4 to 32 (an extra: ``lvistk[timm]``)."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.models.checkpointed import checkpointed
from lvistk.models.frozen_norm import with_frozen_norms

STRIDES = (4, 8, 16, 32)


class TimmBody(nn.Module):
    """A timm network cut down to its features; ``channels`` are their widths.

    net: made by timm with ``features_only``. names: its modules that end in stride 4, 8, 16, 32.
    """

    def __init__(self, net: nn.Module, *, channels: tuple[int, ...], names: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.channels = channels
        self.names = tuple(names)

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: (B, 3, H, W). Returns four maps (B, channels[l], H / s, W / s)."""
        features = self.net(images)
        return [
            # Some networks give (B, H, W, C).
            feature if feature.shape[1] == width else feature.permute(0, 3, 1, 2)
            for feature, width in zip(features, self.channels, strict=True)
        ]

    def stages(self) -> list[list[nn.Module]]:
        """Modules of the stem, then those that end in stride 4, 8, 16, 32, in forward order."""
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
            raise UserError("backbone: this timm network's stages are not its modules in order")
        return stages


def build(settings: BackboneSettings) -> TimmBody:
    """The network of the settings with random weights; ``UserError`` where timm can't make it."""
    if settings.width != 1 or settings.stride_in_1x1:
        raise UserError("backbone.width and stride_in_1x1 are for library 'torchvision' only")
    info = _stride_info(settings.name)
    net = _create(settings.name, [item["index"] for item in info], pretrained=False)
    net = _with_norm(net, settings)
    if settings.activation_checkpointing and not _checkpoint_blocks(net):
        raise UserError(f"backbone.activation_checkpointing: {settings.name} has no row of blocks")
    return TimmBody(
        net,
        channels=tuple(item["num_chs"] for item in info),
        names=[item["module"] for item in info],
    )


def pretrained_weights(name: str) -> dict[str, Tensor]:
    """timm's own weights of a network, downloaded, under the names that ``build`` gives them."""
    net = _create(name, [item["index"] for item in _stride_info(name)], pretrained=True)
    return net.state_dict()


def _stride_info(name: str) -> list[dict[str, Any]]:
    """What timm says of a network's feature maps of stride 4, 8, 16 and 32; ``index`` is each one's."""
    try:
        import timm
    except ImportError:
        raise UserError(
            "backbone.library = 'timm' needs timm: pip install 'lvistk[timm]'"
        ) from None
    try:
        probe = timm.create_model(name, features_only=True)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"backbone.name = '{name}': timm makes no feature maps of it: {error}"
        ) from None
    known: Any = probe.feature_info  # timm's own class
    indices = [i for i, stride in enumerate(known.reduction()) if stride in STRIDES]
    info = [{**known.info[i], "index": i} for i in indices]
    if tuple(item["reduction"] for item in info) != STRIDES:
        raise UserError(f"backbone.name = '{name}': no feature maps of stride 4, 8, 16 and 32")
    return info


def _create(name: str, indices: Sequence[int], *, pretrained: bool) -> nn.Module:
    import timm

    try:
        return timm.create_model(
            name, features_only=True, out_indices=tuple(indices), pretrained=pretrained
        )
    except OSError as error:
        raise UserError(
            f"backbone.weights = 'imagenet': cannot download {name}: {error}; give a local file"
        ) from None


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
