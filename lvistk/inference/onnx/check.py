"""Whether an ONNX file detects what the model detects: both on the same images, detection by detection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from lvistk.config.inference import PredictSettings
from lvistk.data.images.decode import planes, read_image
from lvistk.errors import UserError
from lvistk.inference.image_batches import Image, load_batches, resize
from lvistk.inference.merge import merge_candidates
from lvistk.inference.multi_view import LevelMoves, MultiViewBatch
from lvistk.inference.onnx.graph import OnnxDetector
from lvistk.inference.views import Size, View, geometry

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE = 0.1
"""In pixels of the network's input."""
MASK_TOLERANCE = 0.01
"""In probability."""
MASK_SHARE = 0.99
"""Of all mask cells, which must be within the tolerance: where a mask's level (Eq. 1) changes with the last
digit of its box, the whole mask is another."""
PAIR_IOU = 0.9
LEAST_SCORE = 0.05
"""Detections below may be cut off in one of both and not in the other."""


class Given(NamedTuple):
    """Detections of one image: boxes (N, 4), scores (N,), labels (N,), masks (N, M, M) or None."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None


@dataclass
class Agreement:
    """How far two ways to compute the detections of some images agree.

    images: how many. detections: of the first way, of at least ``LEAST_SCORE``.
    unmatched: of them, and of the second way's, those without a partner of the same category, IoU
    ``PAIR_IOU`` and score.
    score, box: largest differences of partners, the box's in pixels of the network's input.
    mask: share of mask cells whose probability differs by at most ``MASK_TOLERANCE``.
    """

    images: int = 0
    detections: int = 0
    unmatched: int = 0
    score: float = 0.0
    box: float = 0.0
    _cells: int = field(default=0, repr=False)
    _equal: int = field(default=0, repr=False)

    @property
    def mask(self) -> float:
        return self._equal / self._cells if self._cells else 1.0

    @property
    def is_good(self) -> bool:
        """Whether all is within the tolerances of this module."""
        close = self.score <= SCORE_TOLERANCE and self.box <= BOX_TOLERANCE
        return close and self.mask >= MASK_SHARE and not self.unmatched

    def text(self) -> str:
        """One line with every number."""
        return (
            f"{self.detections} detections in {self.images} images: {self.unmatched} without partner, scores "
            f"within {self.score:.1e}, boxes within {self.box:.2g} px, {self.mask:.2%} of the mask cells "
            f"within {MASK_TOLERANCE}"
        )

    def add(self, a: Given, b: Given) -> None:
        """Count one more image."""
        self.images += 1
        partner = _partners(a, b)
        self.detections += int((a.scores >= LEAST_SCORE).sum())
        pairs = np.flatnonzero(partner >= 0)
        lone = np.flatnonzero((partner < 0) & (a.scores >= LEAST_SCORE + SCORE_TOLERANCE))
        taken = np.isin(np.arange(len(b.scores)), partner)
        strangers = np.flatnonzero(~taken & (b.scores >= LEAST_SCORE + SCORE_TOLERANCE))
        self.unmatched += len(lone) + len(strangers)
        if not len(pairs):
            return
        others = partner[pairs]
        self.score = max(self.score, float(np.abs(a.scores[pairs] - b.scores[others]).max()))
        self.box = max(self.box, float(np.abs(a.boxes[pairs] - b.boxes[others]).max()))
        if a.masks is not None and b.masks is not None:
            near = np.abs(a.masks[pairs] - b.masks[others]) <= MASK_TOLERANCE
            self._cells += near.size
            self._equal += int(near.sum())


def _partners(a: Given, b: Given) -> np.ndarray:
    """(N,) index in ``b`` of the detection that each of ``a`` is; -1 for none, and below ``LEAST_SCORE``."""
    partner = np.full(len(a.scores), -1)
    free = np.ones(len(b.scores), bool)
    for k in np.flatnonzero(a.scores >= LEAST_SCORE):
        fits = free & (b.labels == a.labels[k])
        fits &= np.abs(b.scores - a.scores[k]) <= 10 * SCORE_TOLERANCE
        ious = np.where(fits, _ious(a.boxes[k], b.boxes), 0.0)
        if len(ious) and ious.max() >= PAIR_IOU:
            partner[k] = int(ious.argmax())
            free[partner[k]] = False
    return partner


def _ious(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inner = np.maximum(high - low, 0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return inner / np.maximum(areas - inner, 1e-9)


class OnnxModel:
    """An ONNX file in onnxruntime, on the CPU."""

    def __init__(self, path: Path) -> None:
        """Raises ``UserError`` where onnxruntime is not installed."""
        try:
            import onnxruntime  # pyright: ignore[reportMissingImports]  # an extra
        except ModuleNotFoundError:
            raise UserError(
                "the check of an ONNX file needs onnxruntime: pip install 'lvistk[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # no remarks on nodes that it leaves out
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, image: np.ndarray, size: Size) -> Given:
        """Detections of an image (3, H, W) uint8 that fills ``size`` of it."""
        inputs = {"image": image, "size": np.array(size, np.int64)}
        return _given(self._session.run(None, inputs))


def _given(outputs: Sequence[np.ndarray]) -> Given:
    boxes, scores, labels = outputs[:3]
    return Given(boxes, scores, labels, outputs[3] if len(outputs) > 3 else None)


def check_onnx(
    path: Path, detector: OnnxDetector, images: Sequence[Path], *, view: View, size: Size | None
) -> Agreement:
    """The file beside torch on ``images``, resized to ``view``, or into the fixed ``size``.

    Beside what ``Predictor`` does with one view; with a fixed size beside the graph's own function, since the
    zeros around an image, which ``Predictor`` never sees, change the features at its border.
    """
    model, agreement = OnnxModel(path), Agreement()
    for image in images:
        pixels, own = network_input(read_image(image), view=view, size=size)
        if size is None:
            expected = detected(detector, image, view)
        else:
            with torch.inference_mode():
                outputs = detector(torch.from_numpy(pixels), torch.tensor(own))
            expected = _given([output.numpy() for output in outputs])
        agreement.add(expected, model(pixels, own))
    return agreement


@torch.inference_mode()
def detected(detector: OnnxDetector, path: Path, view: View) -> Given:
    """What inference without ONNX detects in the image at ``path``, in pixels of the view."""
    model, merge = detector.model, detector.merge
    (images,) = load_batches([Image(0, path)], views=[view], batch_size=1, workers=0)
    if not len(images):
        raise UserError(images.left_out[0].reason)
    batch = MultiViewBatch(
        model, images, [view], PredictSettings(), torch.device("cpu"), moves=LevelMoves()
    )
    factors = np.ones(len(model.categories), np.float32)
    merged = [merge_candidates(one, settings=merge) for one in batch.candidates(merge, factors)]
    masks = None
    if model.settings.mask.enabled:
        masks = batch.masks(merged, [one.views for one in merged])[0].probs
    boxes = images.geometries[0][0].to_view(merged[0].boxes)
    return Given(boxes, merged[0].scores, merged[0].labels, masks)


def network_input(image: np.ndarray, *, view: View, size: Size | None) -> tuple[np.ndarray, Size]:
    """The image (H, W, 3) in blue, green, red as the graph takes it: (3, h, w) RGB, and its size therein.

    view: sides that it is resized to.
    size: of the canvas that it must fit into, if the graph has a fixed one.
    """
    height, width = image.shape[:2]
    own = geometry(view, (height, width)).size
    if size is not None:
        scale = min(size[0] / height, size[1] / width)
        own = (max(1, int(height * scale)), max(1, int(width * scale)))
    resized = resize(image, own)
    if size is not None:
        below, right = size[0] - own[0], size[1] - own[1]
        resized = cv2.copyMakeBorder(resized, 0, below, 0, right, cv2.BORDER_CONSTANT)
    return planes(resized), own
