"""A trained model in Python: load it, and detect on images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import cv2
import numpy as np
import torch

from lvistk import console
from lvistk.api.detections import ImageDetections
from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.load import expanded
from lvistk.data.images.listed_images import ListedImages
from lvistk.distributed import choose_device
from lvistk.errors import UserError
from lvistk.importing.any_model import load_any_model
from lvistk.inference.default_views import default_merge, default_views, with_min_score
from lvistk.inference.image_batches import Image, LeftOut
from lvistk.inference.predict import Predictor
from lvistk.inference.views import plan_views
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import InputSize
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections

if TYPE_CHECKING:
    import PIL.Image


class Model:
    """A trained model on a device; ``load`` makes one.

    network: the torch module.
    size: image sides that it was trained at, which views follow by default.
    source: where it comes from.
    """

    def __init__(
        self, network: MaskRCNN, *, size: InputSize, source: Path, device: torch.device
    ) -> None:
        self.network = network
        self.size = size
        self.source = source
        self.device = device

    def __repr__(self) -> str:
        return f"Model({str(self.source)!r}, {len(self.names)} categories, device={self.device})"

    @property
    def categories(self) -> Categories:
        """Ids, names, frequency groups and training counts of the C categories, in label order."""
        return self.network.categories

    @property
    def names(self) -> tuple[str, ...]:
        """The C names of the categories, in label order."""
        return self.categories.names

    @overload
    def predict(
        self,
        images: "str | Path | np.ndarray | PIL.Image.Image",
        *,
        min_score: float = ...,
        categories: Sequence[str] = ...,
        tta: bool = ...,
        views: ViewSettings | None = ...,
        merge: MergeSettings | None = ...,
        batch_size: int = ...,
    ) -> ImageDetections: ...

    @overload
    def predict(
        self,
        images: "Sequence[str | Path | np.ndarray | PIL.Image.Image]",
        *,
        min_score: float = ...,
        categories: Sequence[str] = ...,
        tta: bool = ...,
        views: ViewSettings | None = ...,
        merge: MergeSettings | None = ...,
        batch_size: int = ...,
    ) -> list[ImageDetections]: ...

    def predict(
        self,
        images: Any,
        *,
        min_score: float = 0.3,
        categories: Sequence[str] = (),
        tta: bool = False,
        views: ViewSettings | None = None,
        merge: MergeSettings | None = None,
        batch_size: int = 1,
    ) -> ImageDetections | list[ImageDetections]:
        """Detections of one image, or a list of them for a list of images.

        images: a path; an array (H, W, 3) or (H, W) uint8, RGB or grey; a PIL image; or a list of these.
        min_score: detections that score less are left out.
        categories: names of the categories to detect, or one name; all by default.
        tta: six sizes around the training's, each flipped too, instead of one view.
        views, merge: other views, and how their detections become one set; the settings of ``tta-infer``.
        batch_size: images that go through the model together.

        Raises ``UserError`` for an image that cannot be read, an unknown category, or a number out of range.
        """
        alone = not isinstance(images, list | tuple)
        chosen = [images] if alone else list(images)
        predictor = self._predictor(
            min_score, categories, tta=tta, views=views, merge=merge, batch_size=batch_size
        )
        listed = [_image(one, k) for k, one in enumerate(chosen)]
        detected = [
            self._detections(image, of_image)
            for image, of_image in zip(listed, predictor.run(listed), strict=True)
        ]
        return detected[0] if alone else detected

    def masks_for(
        self,
        image: "str | Path | np.ndarray | PIL.Image.Image",
        boxes: np.ndarray,
        names: Sequence[str],
        *,
        scores: np.ndarray | None = None,
    ) -> ImageDetections:
        """Masks for boxes of any detector, in one image; the model detects nothing itself.

        image: a path, an array or a PIL image, as for ``predict``.
        boxes: (N, 4) xyxy in pixels of the image.
        names: N names of categories of the model.
        scores: (N,), by which the detections are ordered, best first; 1 by default.

        Raises ``UserError`` for an unknown category, for boxes that are none, or where the lengths differ.
        """
        boxes = _corners(boxes)
        values = np.ones(len(boxes)) if scores is None else np.asarray(scores)
        if not len(boxes) == len(names) == len(values):
            raise UserError(f"{len(boxes)} boxes, {len(names)} names and {len(values)} scores")
        labels = [int(self.categories.labels_of_names([name])[0]) for name in names]
        given = Detections(
            image_id=0,
            size=(0, 0),  # the image's is known when it is read
            boxes=boxes,
            scores=values.astype(np.float32),
            labels=np.array(labels, np.int32),
        ).select(np.argsort(-values, kind="stable"))
        predictor = self._predictor(0.0, (), tta=False, views=None, merge=None, batch_size=1)
        predictor.given = {0: given}
        listed = _image(image, 0)
        (masked,) = predictor.run([listed])
        return self._detections(listed, masked)

    def stream(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        min_score: float = 0.3,
        categories: Sequence[str] = (),
        tta: bool = False,
        views: ViewSettings | None = None,
        merge: MergeSettings | None = None,
        batch_size: int = 1,
    ) -> Iterator[ImageDetections]:
        """Detections image after image, of many that need not fit into memory.

        sources: files, folders, globs, and text files that list paths.

        The rest as ``predict``. An image that cannot be read is left out with a warning.
        """
        given = [sources] if isinstance(sources, str | Path) else sources
        images = ListedImages([Path(one) for one in given])
        predictor = self._predictor(
            min_score, categories, tta=tta, views=views, merge=merge, batch_size=batch_size
        )
        listed = [Image(int(images.ids[k]), images.path(k)) for k in range(len(images))]
        for image, outcome in zip(listed, predictor.outcomes(listed), strict=True):
            if isinstance(outcome, LeftOut):
                console.warn(f"left out: {outcome.reason}")
            else:
                yield self._detections(image, outcome)

    def _detections(self, image: Image, detections: Detections) -> ImageDetections:
        pixels = None if image.pixels is None else image.pixels[:, :, ::-1]
        return ImageDetections(detections, self.categories, source=image.path, pixels=pixels)

    def _predictor(
        self,
        min_score: float,
        categories: Sequence[str],
        *,
        tta: bool,
        views: ViewSettings | None,
        merge: MergeSettings | None,
        batch_size: int,
    ) -> Predictor:
        if not 0 <= min_score <= 1:
            raise UserError(f"min_score = {min_score}: give 0 to 1")
        if batch_size < 1:
            raise UserError(f"batch_size = {batch_size}: give 1 or more")
        if isinstance(categories, str):
            categories = [categories]
        many = tta or (views is not None and len(plan_views(views)) > 1)
        return Predictor(
            self.network,
            plan_views(views or default_views(self.size, many=tta)),
            with_min_score(merge or default_merge(self.size, many=many), min_score),
            PredictSettings(batch_size=batch_size, workers=0 if batch_size == 1 else None),
            self.device,
            only=self.categories.labels_of_names(categories) if categories else None,
            min_score=min_score,
        )


def load(path: str | Path, *, device: str = "auto") -> Model:
    """The model of a stage folder, of a ``model.safetensors`` or checkpoint of lvistk, or of a checkpoint of
    detectron2, mmdetection or torchvision with COCO's categories (others: ``lvistk import-weights`` first).

    path: folder or file; ``lvistk:NAME`` is a file that ships with lvistk.
    device: ``cpu``, ``cuda``, ``cuda:N``; ``auto``: a GPU if there is one.

    Raises ``UserError`` where there is no model, or it is damaged.
    """
    chosen = choose_device(device)
    source = expanded(path)
    network, size = load_any_model(source, device=chosen)
    return Model(network, size=size, source=source, device=chosen)


def _image(given: Any, k: int) -> Image:
    """Image ``k`` of those that were given."""
    if isinstance(given, str | Path):
        path = Path(given)
        if path.is_dir():
            raise UserError(f"{path}: is a folder; model.stream detects on all images of a folder")
        return Image(k, path)
    if not isinstance(given, np.ndarray) and hasattr(given, "convert"):  # a PIL image
        name = Path(getattr(given, "filename", "") or f"image {k}")
        return Image(k, name, pixels=_bgr(np.asarray(given.convert("RGB")), k))
    if isinstance(given, np.ndarray):
        return Image(k, Path(f"image {k}"), pixels=_bgr(given, k))
    raise UserError(
        f"image {k} is of type {type(given).__name__}; give a path, an array, or a PIL image"
    )


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Boxes as (N, 4) float32 xyxy; ``UserError`` for other shapes and for boxes that are none."""
    corners = np.asarray(boxes, np.float32)
    if corners.size == 0:
        return corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise UserError(f"boxes: an array {corners.shape}; give (N, 4): left, top, right, bottom")
    wrong = ~np.isfinite(corners).all(1) | (corners[:, 2:] < corners[:, :2]).any(1)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f"boxes: number {k} is {corners[k].tolist()}; give left, top, right, bottom, in this order"
        )
    return corners


def _bgr(array: np.ndarray, k: int) -> np.ndarray:
    """(H, W, 3) uint8 blue, green, red of an array in RGB, RGBA or grey."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise UserError(
            f"image {k} is an array {array.shape} of {array.dtype}; give (H, W, 3) RGB or (H, W) grey, "
            "uint8 of 0 to 255"
        )
    if not array.size:
        raise UserError(f"image {k} is an array {array.shape} without a pixel")
    codes = {1: cv2.COLOR_GRAY2BGR, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGR}
    return cv2.cvtColor(np.ascontiguousarray(array), codes[channels])
