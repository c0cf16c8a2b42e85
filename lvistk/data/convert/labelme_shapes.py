"""Shapes of LabelMe and of tools that write its format, as polygons and bitmaps."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import msgspec
import numpy as np

from lvistk.masks import rle
from lvistk.masks.bitmaps import Bitmap

CIRCLE_POINTS = 48
"""Corners of the polygon that stands for a circle: at a radius of 100 px it is off by .2 px (ours)."""
CLOSED = ("polygon", "rectangle", "rotation", "oriented_rectangle", "quadrilateral")
"""Kinds whose points are corners; a rectangle of two points is upright."""


class Shape(msgspec.Struct):
    """A shape of a sheet; shapes of one label and ``group_id`` are parts of one instance.

    points: corners (x, y) in pixels; centre and a point of the edge of a circle; two corners of a mask
    mask: a PNG in base64, of the size of the mask's box
    """

    label: str
    points: list[tuple[float, float]]
    shape_type: str = "polygon"
    group_id: int | str | None = None
    mask: str | None = None


@dataclass
class Instance:
    """Shapes of one instance: ``outlines`` (V, 2) in pixels, and ``bitmaps`` in the image."""

    label: str
    outlines: list[np.ndarray] = field(default_factory=list)
    bitmaps: list[Bitmap] = field(default_factory=list)

    def drawn(self, size: tuple[int, int]) -> np.ndarray:
        """All shapes together as one mask (H, W) of the image's ``size`` (height, width)."""
        pixels = np.zeros(size, np.uint8)
        if self.outlines:
            pixels |= rle.decode(rle.from_polygons(self.outlines, size), size)
        for bitmap in self.bitmaps:
            left, top = max(bitmap.x, 0), max(bitmap.y, 0)
            part = bitmap.pixels[top - bitmap.y :, left - bitmap.x :]
            part = part[: max(size[0] - top, 0), : max(size[1] - left, 0)]
            pixels[top : top + part.shape[0], left : left + part.shape[1]] |= part
        return pixels


def instances_of(shapes: Sequence[Shape]) -> tuple[list[Instance], list[Shape]]:
    """The instances of a sheet, and the shapes that have no area or cannot be read."""
    grouped: dict[object, Instance] = {}
    left_out: list[Shape] = []
    for number, shape in enumerate(shapes):
        bitmap, outline = _bitmap(shape), _outline(shape)
        if bitmap is None and outline is None:
            left_out.append(shape)
            continue
        key = number if shape.group_id is None else (shape.label, shape.group_id)
        instance = grouped.setdefault(key, Instance(shape.label))
        if bitmap is not None:
            instance.bitmaps.append(bitmap)
        elif outline is not None:
            instance.outlines.append(outline)
    return list(grouped.values()), left_out


def _bitmap(shape: Shape) -> Bitmap | None:
    """The mask that an AI tool drew; None for other shapes and for what is no PNG."""
    if shape.shape_type != "mask" or not shape.mask or not shape.points:
        return None
    try:
        data = np.frombuffer(base64.b64decode(shape.mask), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except (binascii.Error, ValueError, cv2.error):
        return None
    if pixels is None or not pixels.any():
        return None
    flat = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    x, y = np.array(shape.points, np.float64).min(axis=0).round().astype(int).tolist()
    return Bitmap(x, y, (flat > 0).astype(np.uint8))


def _outline(shape: Shape) -> np.ndarray | None:
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        return None
    if shape.shape_type == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if shape.shape_type in CLOSED and len(points) > 2:
        return points
    if shape.shape_type == "circle" and len(points) == 2:
        turn = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        radius = np.hypot(*(points[1] - points[0]))
        return points[0] + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return None
