"""Images that results name by text: by file name, by its stem, or by the number as text."""

from collections import defaultdict
from functools import cached_property
from pathlib import Path

from lvistk.evaluation.ground_truth.head import read_head
from lvistk.json_input.segmentation import Unfit, short

UNKNOWN_IMAGE_ID = -(2**63)
"""The id of detections in images that are not in the ground truth and may be left out."""
ID_LIMIT = 2**63


class ImageNames:
    """File names of the ground truth's images; read with the first text that is asked for."""

    def __init__(self, gt: Path, *, refuse: bool) -> None:
        self._gt, self._refuse = gt, refuse

    def __call__(self, text: str) -> int:
        """The id of the image that ``text`` names.

        Raises ``Unfit`` where it names several images, or none and such detections are refused.
        """
        ids = self._ids.get(text, set())
        if len(ids) > 1:
            raise Unfit(f"image_id {short(text)} names several images of {self._gt}; use their ids")
        if ids:
            return next(iter(ids))
        if text.strip().isascii() and text.strip().lstrip("-").isdigit():
            number = int(text)
            if abs(number) < ID_LIMIT:
                return number
        if self._refuse:
            raise Unfit(
                f"image_id {short(text)} is neither the id nor the file name of an image in {self._gt}; "
                "use its ids, or evaluate with evaluate.unknown_images=drop to leave such detections out"
            )
        return UNKNOWN_IMAGE_ID

    @cached_property
    def _ids(self) -> dict[str, set[int]]:
        """Image ids by file name, with and without folders and suffix."""
        ids: dict[str, set[int]] = defaultdict(set)
        for image in read_head(self._gt).images:
            for name in (image.file_name, image.coco_url):
                last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
                if last:
                    for known in (name or "", last, last.rsplit(".", 1)[0]):
                        ids[known].add(image.id)
        return dict(ids)
