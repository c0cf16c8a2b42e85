"""Images that results name by text, in the ground truth of an evaluation."""

from collections.abc import Iterator
from pathlib import Path

from lvistk.evaluation.ground_truth.head import read_head
from lvistk.json_input.image_names import NamedImages
from lvistk.json_input.segmentation import Unfit, short

UNKNOWN_IMAGE_ID = -(2**63)
"""The id of detections in images that are not in the ground truth and may be left out."""


class ImageNames:
    """File names of the ground truth's images; read with the first text that is asked for."""

    def __init__(self, gt: Path, *, refuse: bool) -> None:
        self._gt, self._refuse = gt, refuse
        self._named = NamedImages(_names(gt), path=gt)

    def __call__(self, text: str) -> int:
        """The id of the image that ``text`` names.

        Raises ``Unfit`` where it names several images, or none and such detections are refused.
        """
        number = self._named.id_of(text)
        if number is not None:
            return number
        if self._refuse:
            raise Unfit(
                f"image_id {short(text)} is neither the id nor the file name of an image in {self._gt}; "
                "use its ids, or evaluate with evaluate.unknown_images=drop to leave such detections out"
            )
        return UNKNOWN_IMAGE_ID


def _names(gt: Path) -> Iterator[tuple[int, str | None]]:
    for image in read_head(gt).images:
        yield image.id, image.file_name
        yield image.id, image.coco_url
