"""Outlines of the shape families, from solid boxes to wires, in a frame of about [-1, 1] squared.

A family has variants that differ in one parameter (teeth, tines, thickness, aspect), so that
telling categories apart takes more than finding something. An outline is a list of parts that
are painted one after the other: a fill or a stroke adds, a hole takes away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Part:
    """One painted piece: its points `(N, 2)` as x, y, and the width if it is a stroke."""

    kind: Literal["fill", "hole", "stroke"]
    points: Array  # (N, 2)
    width: float = 0.0
    closed: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of shape and the values its variants take.

    `turn` is the range of the rotation in degrees (either sign is drawn); `min_extent` is the
    smallest half-length of a drawn instance as a multiple of the scene's smallest one, so that
    the bars of a net stay wider than a pixel.
    """

    name: str
    draw: Callable[[float], list[Part]]
    values: tuple[float, ...]
    meaning: str
    turn: tuple[float, float] = (0.0, 25.0)
    min_extent: float = 1.0


def _ellipse(cx: float, cy: float, rx: float, ry: float, count: int = 40) -> Array:
    angle = np.linspace(0.0, 2 * np.pi, count, endpoint=False)
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def _box(x0: float, y0: float, x1: float, y1: float) -> Array:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=float)


def _line(*points: tuple[float, float]) -> Array:
    return np.array(points, dtype=float)


def _spokes(count: int, inner: float, outer: float) -> Array:
    """A closed zigzag between two radii: the corners of a star with `count` tips."""
    angle = np.arange(2 * count) * np.pi / count - np.pi / 2
    radius = np.where(np.arange(2 * count) % 2 == 0, outer, inner)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def ring(band: float) -> list[Part]:
    """A circle without its inside; `band` is the width of the rim in radii."""
    inner = 1 - band
    return [Part("fill", _ellipse(0, 0, 1, 1)), Part("hole", _ellipse(0, 0, inner, inner))]


def box(aspect: float) -> list[Part]:
    """A rectangle, `aspect` times as wide as high."""
    return [Part("fill", _box(-1, -1 / aspect, 1, 1 / aspect))]


def disk(aspect: float) -> list[Part]:
    """An ellipse, `aspect` times as wide as high."""
    return [Part("fill", _ellipse(0, 0, 1, 1 / aspect))]


def comb(teeth: float) -> list[Part]:
    """A spine with `teeth` teeth that hang from it."""
    count = int(teeth)
    width = min(0.13, 0.9 / (2 * count - 1))
    parts = [Part("fill", _box(-1, -0.55, 1, -0.37))]
    for x in np.linspace(-1 + width / 2, 1 - width / 2, count):
        parts.append(Part("fill", _box(x - width / 2, -0.5, x + width / 2, 0.55)))
    return parts


def pole(width: float) -> list[Part]:
    """A straight bar, drawn slanted so that its box is mostly empty."""
    return [Part("stroke", _line((-1, 0), (1, 0)), width)]


def star(tips: float) -> list[Part]:
    """A star with `tips` tips."""
    return [Part("fill", _spokes(int(tips), 0.42, 1.0))]


def ladder(rungs: float) -> list[Part]:
    """Two rails and `rungs` rungs."""
    rails = [Part("stroke", _line((x, -1), (x, 1)), 0.11) for x in (-0.42, 0.42)]
    heights = np.linspace(-0.78, 0.78, int(rungs))
    return rails + [Part("stroke", _line((-0.42, y), (0.42, y)), 0.09) for y in heights]


def cross(arm: float) -> list[Part]:
    """A plus sign whose arms are `arm` half-widths thick."""
    return [Part("fill", _box(-1, -arm, 1, arm)), Part("fill", _box(-arm, -1, arm, 1))]


def wire(waves: float) -> list[Part]:
    """A thin wavy line with `waves` periods."""
    x = np.linspace(-1, 1, 48)
    return [Part("stroke", np.stack([x, 0.5 * np.sin(np.pi * waves * x)], axis=1), 0.03)]


def fork(tines: float) -> list[Part]:
    """A handle, a bar across, and `tines` tines."""
    offsets = np.linspace(-0.42, 0.42, int(tines))
    parts = [
        Part("stroke", _line((0, 0), (0, 1)), 0.15),
        Part("stroke", _line((-0.42, -0.1), (0.42, -0.1)), 0.13),
    ]
    return parts + [Part("stroke", _line((x, -0.1), (x, -1)), 0.1) for x in offsets]


def crescent(cut: float) -> list[Part]:
    """A disk out of which a disk shifted by `cut` radii is taken."""
    return [Part("fill", _ellipse(0, 0, 1, 1)), Part("hole", _ellipse(cut, 0, 0.88, 0.88))]


def net(cells: float) -> list[Part]:
    """A square frame with `cells` by `cells` open meshes."""
    count = int(cells)
    width = 0.28 / count
    offsets = np.linspace(-1, 1, count + 1)
    parts = [Part("stroke", _line((x, -1), (x, 1)), width) for x in offsets]
    return parts + [Part("stroke", _line((-1, y), (1, y)), width) for y in offsets]


def polygon(corners: float) -> list[Part]:
    """A regular polygon, one corner up."""
    angle = np.arange(int(corners)) * 2 * np.pi / corners - np.pi / 2
    return [Part("fill", np.stack([np.cos(angle), np.sin(angle)], axis=1))]


def gear(teeth: float) -> list[Part]:
    """A toothed wheel with a hole at its axle."""
    count = int(teeth)
    angle = np.arange(4 * count) * np.pi / (2 * count)
    radius = np.where(np.arange(4 * count) % 4 < 2, 1.0, 0.74)
    rim = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return [Part("fill", rim), Part("hole", _ellipse(0, 0, 0.3, 0.3, 20))]


def wheel(spokes: float) -> list[Part]:
    """A thin rim, a hub and `spokes` spokes."""
    parts = [Part("stroke", _ellipse(0, 0, 0.93, 0.93), 0.11, True)]
    parts.append(Part("fill", _ellipse(0, 0, 0.16, 0.16, 16)))
    for angle in np.arange(int(spokes)) * 2 * np.pi / spokes - np.pi / 2:
        end = (0.93 * np.cos(angle), 0.93 * np.sin(angle))
        parts.append(Part("stroke", _line((0, 0), end), 0.07))
    return parts


def arrow(head: float) -> list[Part]:
    """An arrow to the right whose head takes the share `head` of its length."""
    neck = 1 - 2 * head
    tip = _line((neck, -0.62), (1, 0), (neck, 0.62))
    return [Part("fill", _box(-1, -0.2, neck + 0.02, 0.2)), Part("fill", tip)]


def spiral(turns: float) -> list[Part]:
    """A thin spiral with `turns` turns."""
    angle = np.linspace(0.5, 2 * np.pi * turns, 90)
    radius = angle / angle[-1]
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return [Part("stroke", points, 0.13)]


def flower(petals: float) -> list[Part]:
    """A smooth closed line with `petals` lobes."""
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    radius = 0.72 + 0.28 * np.cos(petals * angle)
    return [Part("fill", np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))]


FAMILIES = (
    Family("ring", ring, (0.14, 0.3, 0.08, 0.45), "rim of {} radii", min_extent=1.3),
    Family("box", box, (1.25, 2.4, 1.0, 3.5), "{} times as wide as high", (0.0, 4.0)),
    Family("comb", comb, (4, 8, 6, 3), "{} teeth", min_extent=2.0),
    Family("disk", disk, (1.0, 2.0, 1.4, 3.0), "{} times as wide as high"),
    Family("pole", pole, (0.13, 0.24, 0.05, 0.34), "{} half-lengths wide", (25.0, 65.0), 1.8),
    Family("star", star, (5, 8, 4, 6), "{} tips"),
    Family("ladder", ladder, (4, 6, 3, 8), "{} rungs", min_extent=2.0),
    Family("cross", cross, (0.3, 0.14, 0.45, 0.22), "arms of {} half-widths", min_extent=1.2),
    Family("wire", wire, (2, 4, 1, 3), "{} waves", (0.0, 90.0), 2.2),
    Family("fork", fork, (3, 5, 2, 4), "{} tines", min_extent=2.0),
    Family("crescent", crescent, (0.4, 0.7, 0.3, 0.55), "cut at {} radii", (0.0, 60.0), 1.2),
    Family("net", net, (3, 5, 2, 4), "{} meshes a side", min_extent=2.0),
    Family("polygon", polygon, (3, 6, 5, 8), "{} corners"),
    Family("gear", gear, (8, 14, 6, 11), "{} teeth", (0.0, 180.0), 1.4),
    Family("wheel", wheel, (5, 3, 8, 4), "{} spokes", min_extent=1.8),
    Family("arrow", arrow, (0.3, 0.5, 0.2, 0.4), "head of {} lengths", (0.0, 60.0), 1.2),
    Family("spiral", spiral, (2.5, 1.5, 3.5, 2.0), "{} turns", (0.0, 180.0), 2.0),
    Family("flower", flower, (4, 6, 3, 8), "{} petals", (0.0, 180.0), 1.2),
)
BY_NAME = {family.name: family for family in FAMILIES}
