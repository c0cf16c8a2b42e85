"""What to draw: the settings of `lvistk generate`."""

from dataclasses import dataclass
from typing import Annotated, get_type_hints

import msgspec
from msgspec import Meta

from lvistk.config.ranges import Share, fault, range_text
from lvistk.data.synthetic.catalogue import Mix
from lvistk.errors import UserError

MAX_TRAIN_IMAGES = 1_000_000
MAX_OTHER_IMAGES = 500_000
COMPLETE = "_full_truth"
"""End of the names of annotation files that hold what the others leave out."""


@dataclass(frozen=True)
class GenerateSettings:
    """Everything that decides the bytes of a generated dataset, but `workers`, which doesn't.

    All defaults are ours: the counts are those of a small experiment, the shares imitate LVIS v1.
    """

    images: Annotated[int, Meta(ge=1, le=MAX_TRAIN_IMAGES)] = 1200  # images of the train split
    val_images: Annotated[int, Meta(ge=0, le=MAX_OTHER_IMAGES)] = 200  # images of the val split
    pool_images: Annotated[int, Meta(ge=0, le=MAX_OTHER_IMAGES)] = 400
    """Images without labels, laid out as Open Images."""
    categories: Annotated[int, Meta(ge=1, le=2000)] = 24
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    long_side: Annotated[int, Meta(ge=64, le=4096)] = 640  # pixels, as COCO
    min_aspect: Annotated[float, Meta(ge=0.3, le=1.0)] = 0.66
    """The short side is between this share of the long one and all of it."""
    rare_share: Share = 0.25  # of the categories (LVIS v1: .28)
    common_share: Share = 0.35  # of the categories (LVIS v1: .38); with rare_share at most 1
    unannotated_share: Annotated[float, Meta(ge=0.0, le=0.6)] = 0.2  # of train instances, at least
    negative_share: Share = 0.25  # of the absent categories of a train image: verified absent
    val_negative_share: Share = 0.5  # the same in val: more, so that false positives are counted
    val_complete: bool = False
    """Every val instance is annotated, and every absent category verified absent."""
    mix: Mix = "mixed"
    """Most categories thin or open; most of them solid; or 14 solid frequent categories, 14 common and 14
    rare ones that are variants of them."""
    crowding: Annotated[float, Meta(ge=0.1, le=4.0)] = 1.0
    """Instances per image, as a multiple of the usual number."""
    min_extent: Annotated[float, Meta(ge=0.02, le=0.45)] = 0.055
    """Half-length of the smallest object, of the image's short side."""
    max_extent: Annotated[float, Meta(ge=0.02, le=0.49)] = 0.36
    """Of the largest; at least ``min_extent``."""
    min_stroke: Annotated[float, Meta(ge=0.5, le=20.0)] = 1.6
    """In pixels; bars of small objects are drawn no thinner."""
    constancy: Share = 0.5  # of a category's instances with its texture, and with its hue
    jpeg_quality: Annotated[int, Meta(ge=1, le=100)] = 92
    workers: Annotated[int, Meta(ge=1, le=256)] = 2  # processes; 1 draws in this process

    def __post_init__(self) -> None:
        """Refuse settings that no dataset can have; ``UserError`` names the setting and its range."""
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            try:
                wrong = fault(msgspec.convert(value, hint), hint)
            except (msgspec.ValidationError, OverflowError):
                wrong = f"must be {range_text(hint)}"
            if wrong:
                raise UserError(f"{name} = {value}: it {wrong}")
        if self.rare_share + self.common_share > 1:
            raise UserError(
                f"common_share = {self.common_share}: with rare_share {self.rare_share} it is more than 1"
            )
        if self.max_extent < self.min_extent:
            raise UserError(
                f"max_extent = {self.max_extent}: it must be at least min_extent, {self.min_extent}"
            )
