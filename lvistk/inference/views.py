"""The views of an image at inference, each an affine matrix with its inverse."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lvistk.config.inference import ViewSettings
from lvistk.errors import UserError

Size = tuple[int, int]


@dataclass(frozen=True)
class View:
    """One size and flip. ``low`` and ``high``: smallest and largest square root of a box's area, in image
    pixels and both included, that the view may contribute (ours; the paper's are not published)."""

    short_edge: int
    long_edge: int
    flip: bool = False
    low: float = 0.0
    high: float = math.inf


def plan_views(settings: ViewSettings) -> list[View]:
    """The views of ``settings``: each short edge, and after it its flipped twin."""
    edges = settings.short_edges
    ranges = settings.valid_ranges or ((0.0, math.inf),) * len(edges)
    if not edges or min(edges) < 1 or settings.long_edge < 1:
        raise UserError(f"views: short_edges = {edges} needs at least one positive length")
    if len(ranges) != len(edges):
        raise UserError(
            f"views: {len(ranges)} valid_ranges for {len(edges)} short_edges; give one per short edge"
        )
    for low, high in ranges:
        if not 0 <= low < high:
            raise UserError(f"views: valid range ({low}, {high}) is empty")
    return [
        View(edge, settings.long_edge, flip, low, high)
        for edge, (low, high) in zip(edges, ranges, strict=True)
        for flip in ((False, True) if settings.flip else (False,))
    ]


@dataclass(frozen=True)
class ViewGeometry:
    """How one image lies in one view: ``image`` and ``size`` are their heights and widths."""

    image: Size
    size: Size
    flip: bool

    @cached_property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 from image to view pixels; pixel edges are whole numbers in both."""
        sx, sy = self.size[1] / self.image[1], self.size[0] / self.image[0]
        scaled = np.diag((sx, sy, 1.0))
        mirrored = np.array([[-1.0, 0.0, self.size[1]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        return mirrored @ scaled if self.flip else scaled

    @property
    def scale(self) -> float:
        """Lengths in the view over lengths in the image (geometric mean of both axes)."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix))))

    def to_view(self, boxes: np.ndarray) -> np.ndarray:
        """Image boxes (N, 4) in view pixels, float32."""
        return transform_boxes(boxes, self.matrix)

    def to_image(self, boxes: np.ndarray) -> np.ndarray:
        """View boxes (N, 4) in image pixels, float32, clipped to the image."""
        moved = transform_boxes(boxes, np.linalg.inv(self.matrix))
        height, width = self.image
        return np.clip(moved, 0, np.array([width, height, width, height], np.float32))


def geometry(view: View, image: Size) -> ViewGeometry:
    """The image's short edge becomes ``short_edge`` unless its long edge would exceed ``long_edge``.

    Sides are rounded as detectron2's ``ResizeShortestEdge`` does.
    """
    height, width = image
    scale = min(view.short_edge / min(image), view.long_edge / max(image))
    size = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
    return ViewGeometry(image=image, size=size, flip=view.flip)


def transform_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) through a (3, 3) matrix of scales, flips and shifts; float32, corners in order."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 2, 2)
    moved = corners @ matrix[:2, :2].T + matrix[:2, 2]  # (N, 2, 2)
    return np.concatenate([moved.min(1), moved.max(1)], axis=1).astype(np.float32)
