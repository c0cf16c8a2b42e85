"""Draw one image: place shapes, let them hide one another, paint them, and keep what is visible.

Masks live on a map of labels `SCALE` times finer than the image. An object's colour covers a
pixel by the share of its fine cells, and its ground truth is the cells that nothing painted over.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lvistk.data.synthetic.catalogue import TEXTURES, Kind
from lvistk.data.synthetic.outline import polygons
from lvistk.data.synthetic.plan import Wanted
from lvistk.data.synthetic.shapes import Part
from lvistk.data.synthetic.texture import background, camera, colour, surface

SCALE = 3  # fine cells a pixel and side
TRIES = 14  # positions tried for an object
MIN_EXTENT_PIXELS = 6.5  # below, no shape can be told from another
MIN_VISIBLE = 0.5  # of an object must stay visible under those on top of it
MIN_INSIDE = 0.65  # of an object must lie in the image
MIN_AREA = 12.0  # pixels squared; a smaller rest is left out of the ground truth
OCCLUDERS = 0.35  # share of the images with elbows of no category in front

Array = np.ndarray


@dataclass(frozen=True)
class Style:
    """How hard an image is: sizes, strokes, and how alike the instances of a category are.

    `min_extent` and `max_extent` are half-lengths of objects as shares of the image's short side;
    `min_stroke` is in pixels, and bars of small objects are drawn no thinner; `constancy` is the share of
    a category's instances with its own texture, and with its own hue.
    """

    min_extent: float = 0.055
    max_extent: float = 0.36
    min_stroke: float = 1.6
    constancy: float = 0.5


@dataclass(frozen=True)
class Drawn:
    """A visible object: what was wanted, and its visible polygons in image pixels, (N, 2) each."""

    wanted: Wanted
    polygons: list[Array]


class Scene:
    """An image in the making: the painted image, and who is visible in each fine cell."""

    def __init__(
        self, height: int, width: int, *, rng: np.random.Generator, style: Style | None = None
    ) -> None:
        self.height, self.width, self._rng = height, width, rng
        self._style = style or Style()
        self._image = background(height, width, rng=rng).astype(np.float32)  # (H, W, 3)
        self._labels = np.zeros((height * SCALE, width * SCALE), dtype=np.uint8)
        self._wanted: list[Wanted] = []
        self._boxes: list[tuple[int, int, int, int]] = []  # x0, y0, x1, y1 in fine cells
        self._full = np.zeros(256, dtype=np.int64)  # cells of each label when it was painted
        self._seen = np.zeros(256, dtype=np.int64)  # and now

    def add(self, wanted: Wanted, kind: Kind) -> None:
        """Paint an object of a kind where it hides no other too much; crowded out, it is not."""
        if len(self._wanted) == 255:
            return
        rng = self._rng
        small = wanted.reason == "missed"
        shape = cover(_outline(kind, self._short_side(), rng, style=self._style, small=small))
        for _ in range(TRIES):
            x0 = int(rng.uniform(0.02, 0.98) * self._labels.shape[1] - shape.shape[1] / 2)
            y0 = int(rng.uniform(0.02, 0.98) * self._labels.shape[0] - shape.shape[0] / 2)
            box, inside = self._crop(shape, x0, y0)
            cells = int(inside.sum())
            if cells < MIN_INSIDE * shape.sum() or self._hides_too_much(box, inside):
                continue
            self._wanted.append(wanted)
            self._boxes.append(box)
            label = len(self._wanted)
            self._claim(box, inside, label)
            self._full[label] = self._seen[label] = cells
            self._paint(box, inside, kind)
            return

    def add_occluder(self) -> None:
        """Paint an elbow of no category over the image, unless it would hide too much."""
        rng = self._rng
        arm = rng.uniform(0.2, 0.5) * self._short_side()
        corner = np.array([[-arm, 0.0], [0.0, 0.0], [0.1 * arm, rng.uniform(0.5, 1.0) * arm]])
        elbow = Part("stroke", corner, arm * rng.uniform(0.05, 0.12))
        shape = cover([_turn(elbow, np.eye(2), rng.uniform(0, 2 * np.pi), self._style.min_stroke)])
        x0, y0 = (int(rng.uniform(-0.2, 0.9) * side) for side in self._labels.shape[::-1])
        box, inside = self._crop(shape, x0, y0)
        if not inside.any() or self._hides_too_much(box, inside):
            return
        self._claim(box, inside, 0)
        self._paint(box, inside, None)

    def finish(self) -> tuple[Array, list[Drawn]]:
        """The image, `(H, W, 3)` uint8 RGB, and its visible objects, in painting order."""
        drawn = []
        for label, (wanted, box) in enumerate(zip(self._wanted, self._boxes, strict=True), 1):
            x0, y0, x1, y1 = box
            visible = (self._labels[y0:y1, x0:x1] == label).astype(np.uint8)
            if visible.sum() < MIN_AREA * SCALE**2:
                continue
            parts = polygons(visible, origin=(x0, y0), scale=SCALE)
            if parts:
                drawn.append(Drawn(wanted, parts))
        return camera(self._image, rng=self._rng), drawn

    def _short_side(self) -> int:
        return min(self.height, self.width)

    def _crop(self, shape: Array, x0: int, y0: int) -> tuple[tuple[int, int, int, int], Array]:
        """The part of a bitmap at (x0, y0) that lies in the image: its box, and its cells."""
        height, width = self._labels.shape
        left, top = max(x0, 0), max(y0, 0)
        right, bottom = min(x0 + shape.shape[1], width), min(y0 + shape.shape[0], height)
        inside = shape[top - y0 : max(bottom - y0, 0), left - x0 : max(right - x0, 0)]
        return (left, top, right, bottom), inside

    def _hidden(self, box: tuple[int, int, int, int], inside: Array) -> Array:
        """How many visible cells of each label lie under a bitmap, (256,)."""
        x0, y0, x1, y1 = box
        return np.bincount(self._labels[y0:y1, x0:x1][inside > 0], minlength=256)

    def _hides_too_much(self, box: tuple[int, int, int, int], inside: Array) -> bool:
        left = self._seen - self._hidden(box, inside)
        return bool((left[1:] < MIN_VISIBLE * self._full[1:]).any())

    def _claim(self, box: tuple[int, int, int, int], inside: Array, label: int) -> None:
        x0, y0, x1, y1 = box
        self._seen -= self._hidden(box, inside)
        self._labels[y0:y1, x0:x1][inside > 0] = label

    def _paint(self, box: tuple[int, int, int, int], inside: Array, kind: Kind | None) -> None:
        """Blend a surface into the image by the share of fine cells that the bitmap covers."""
        x0, y0, x1, y1 = box
        left, top, right, bottom = x0 // SCALE, y0 // SCALE, -(-x1 // SCALE), -(-y1 // SCALE)
        size = bottom - top, right - left
        fine = np.zeros((size[0] * SCALE, size[1] * SCALE), dtype=np.float32)
        fine[y0 - top * SCALE : y1 - top * SCALE, x0 - left * SCALE : x1 - left * SCALE] = inside
        share = cv2.resize(fine, size[::-1], interpolation=cv2.INTER_AREA)[..., None]
        region = self._image[top:bottom, left:right]
        behind = np.array(cv2.mean(region, (share[..., 0] > 0.5).astype(np.uint8))[:3])
        paint = _surface_of(kind, size, behind, self._rng, constancy=self._style.constancy)
        region += (paint - region) * share


def cover(parts: list[Part]) -> Array:
    """Rasterise parts given in fine cells: the tight bitmap `(h, w)` uint8 of 0 and 1."""
    margin = max(part.width for part in parts) + 2
    points = np.concatenate([part.points for part in parts])
    low = points.min(axis=0) - margin
    width, height = np.ceil(points.max(axis=0) + margin - low).astype(int) + 1
    mask = np.zeros((height, width), dtype=np.uint8)
    for part in parts:
        fixed = np.rint((part.points - low) * 16).astype(np.int32)
        if part.kind == "stroke":
            thickness = max(1, round(part.width))
            cv2.polylines(mask, [fixed], part.closed, 1, thickness, cv2.LINE_8, 4)
        else:
            cv2.fillPoly(mask, [fixed], int(part.kind == "fill"), cv2.LINE_8, 4)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _turn(part: Part, matrix: Array, angle: float, min_stroke: float) -> Part:
    """A part in image pixels as a rotated one in fine cells; `matrix` (2, 2) comes first."""
    cos, sin = np.cos(angle), np.sin(angle)
    points = part.points @ (SCALE * np.array([[cos, -sin], [sin, cos]]) @ matrix).T
    grown = float(np.sqrt(abs(np.linalg.det(matrix)))) * SCALE
    width = max(part.width * grown, min_stroke * SCALE) if part.kind == "stroke" else 0.0
    return Part(part.kind, points, width, part.closed)


def _outline(
    kind: Kind, side: int, rng: np.random.Generator, *, style: Style, small: bool
) -> list[Part]:
    """An instance's outline in fine cells: sized, stretched a little, and turned."""
    family = kind.family
    low = max(style.min_extent * side, MIN_EXTENT_PIXELS) * family.min_extent
    high = max(style.max_extent * side, 1.3 * low) * (0.5 if small else 1.0)
    half = float(np.exp(rng.uniform(np.log(low), np.log(max(high, 1.1 * low)))))
    stretch = rng.uniform(0.9, 1.1)
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    matrix = half * np.array([[stretch * mirror, rng.uniform(-0.08, 0.08)], [0.0, 1 / stretch]])
    angle = np.deg2rad(rng.uniform(*family.turn)) * (1 if rng.random() < 0.5 else -1)
    return [_turn(part, matrix, angle, style.min_stroke) for part in family.draw(kind.value)]


def _surface_of(
    kind: Kind | None,
    size: tuple[int, int],
    behind: Array,
    rng: np.random.Generator,
    *,
    constancy: float,
) -> Array:
    """A surface for an object (of no category: None), away from the colour behind it."""
    texture = str(rng.choice(TEXTURES))
    hue = float(rng.random())
    if kind is not None and rng.random() < constancy:
        texture = kind.texture
    if kind is not None and rng.random() < constancy:
        hue = kind.hue + float(rng.normal(0, 0.04))
    saturation, value = rng.uniform(0.35, 1.0), rng.uniform(0.3, 1.0)
    base = colour(hue, saturation, value)
    if np.linalg.norm(base - behind) < 75:
        base = colour(hue, saturation, 0.2 if behind.mean() > 120 else 1.0)
    return surface(texture, size, base=base, rng=rng)


def draw(
    wanted: list[Wanted],
    kinds: tuple[Kind, ...],
    *,
    size: tuple[int, int],
    rng: np.random.Generator,
    style: Style | None = None,
) -> tuple[Array, list[Drawn]]:
    """Draw the wanted objects, in random order from back to front, in an image of (H, W) `size`.

    Returns the image `(H, W, 3)` uint8 RGB and the visible objects; those for which there was no room, or
    of which hardly anything is visible, are missing from the list.
    """
    scene = Scene(*size, rng=rng, style=style)
    for index in rng.permutation(len(wanted)):
        scene.add(wanted[index], kinds[wanted[index].rank])
    if rng.random() < OCCLUDERS:
        for _ in range(int(rng.integers(1, 4))):
            scene.add_occluder()
    return scene.finish()
