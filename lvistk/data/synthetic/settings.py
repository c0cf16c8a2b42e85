"""What to draw: the settings of `lvistk generate`."""

from dataclasses import dataclass

from lvistk.data.synthetic.catalogue import Mix
from lvistk.errors import UserError

MAX_TRAIN_IMAGES = 1_000_000
MAX_OTHER_IMAGES = 500_000


@dataclass(frozen=True)
class GenerateSettings:
    """Everything that decides the bytes of a generated dataset, but `workers`, which doesn't.

    All defaults are ours: the counts are those of a small experiment, the shares imitate LVIS v1.
    """

    images: int = 1200  # images of the train split
    val_images: int = 200  # images of the val split
    pool_images: int = 400  # images without labels, laid out as Open Images
    categories: int = 24
    seed: int = 0
    long_side: int = 640  # pixels, as COCO
    min_aspect: float = 0.66  # the short side is between this share of the long one and all of it
    rare_share: float = 0.25  # of the categories (LVIS v1: .28)
    common_share: float = 0.35  # of the categories (LVIS v1: .38)
    unannotated_share: float = 0.2  # of the train instances, at least
    negative_share: float = 0.25  # of the absent categories of a train image: verified absent
    val_negative_share: float = 0.5  # the same in val: more, so that false positives are counted
    mix: Mix = "mixed"  # most categories thin or open, or most of them solid
    crowding: float = 1.0  # instances an image, as a multiple of the usual number
    min_extent: float = 0.055  # half-length of the smallest object, of the image's short side
    max_extent: float = 0.36  # and of the largest
    min_stroke: float = 1.6  # pixels; bars of small objects are drawn no thinner
    constancy: float = 0.5  # share of a category's instances with its texture, and with its hue
    jpeg_quality: int = 92
    workers: int = 2  # processes; 1 draws in this process

    def __post_init__(self) -> None:
        """Refuse settings that no dataset can have.

        Raises:
            UserError: naming the setting, its value and the range it must be in.
        """
        whole = [
            ("images", 1, MAX_TRAIN_IMAGES),
            ("val_images", 0, MAX_OTHER_IMAGES),
            ("pool_images", 0, MAX_OTHER_IMAGES),
            ("categories", 1, 2000),
            ("seed", 0, 2**32 - 1),
            ("long_side", 64, 4096),
            ("jpeg_quality", 1, 100),
            ("workers", 1, 256),
        ]
        shares = [
            ("min_aspect", 0.3, 1.0),
            ("rare_share", 0.0, 1.0),
            ("common_share", 0.0, 1.0 - self.rare_share),
            ("unannotated_share", 0.0, 0.6),
            ("negative_share", 0.0, 1.0),
            ("val_negative_share", 0.0, 1.0),
            ("crowding", 0.1, 4.0),
            ("min_extent", 0.02, 0.45),
            ("max_extent", self.min_extent, 0.49),
            ("min_stroke", 0.5, 20.0),
            ("constancy", 0.0, 1.0),
        ]
        for name, low, high in whole + shares:
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name} = {value}: it must be between {low:g} and {high:g}")
