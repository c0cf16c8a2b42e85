"""Polygons of many instances as flat arrays: chosen, joined, moved; areas of parts and tight boxes.

An instance is the union of its parts; nested parts make a disk, not a ring.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Polygons:
    """Polygons of G instances with R parts of P points in all.

    points: (P, 2) float32 as read, float64 once moved; x before y, in pixels
    part_start: (R + 1,) int64, part r has the points ``part_start[r]:part_start[r + 1]``
    instance_start: (G + 1,) int64, instance g has the parts ``instance_start[g]:instance_start[g + 1]``;
        an instance may have no part
    """

    points: np.ndarray
    part_start: np.ndarray
    instance_start: np.ndarray

    def __len__(self) -> int:
        return len(self.instance_start) - 1

    def parts(self, instance: int) -> list[np.ndarray]:
        """The parts (V, 2) of one instance, as views."""
        first, last = self.instance_start[instance : instance + 2]
        edges = self.part_start[first : last + 1]
        return [self.points[a:b] for a, b in itertools.pairwise(edges)]

    @classmethod
    def from_lists(cls, instances: Sequence[Sequence[np.ndarray | Sequence[float]]]) -> "Polygons":
        """From parts given as (2V,) or (V, 2) numbers for each instance."""
        arrays = [np.asarray(p, np.float32).reshape(-1, 2) for parts in instances for p in parts]
        points = np.concatenate(arrays) if arrays else np.zeros((0, 2), np.float32)
        return cls(
            points=points,
            part_start=starts([len(part) for part in arrays]),
            instance_start=starts([len(parts) for parts in instances]),
        )


def starts(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where each of R groups of ``counts`` items starts, and the end of the last: (R + 1,) int64."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def rectangles(boxes: np.ndarray) -> Polygons:
    """Boxes (G, 4) xyxy as G instances of one part."""
    return Polygons(
        points=boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2).astype(np.float32),
        part_start=4 * np.arange(len(boxes) + 1),
        instance_start=np.arange(len(boxes) + 1),
    )


def map_polygons(polygons: Polygons, matrix: np.ndarray) -> Polygons:
    """The polygons under an affine matrix (2 or 3, 3), in float64."""
    points = polygons.points @ matrix[:2, :2].T + matrix[:2, 2]
    return Polygons(points, polygons.part_start, polygons.instance_start)


def select_polygons(polygons: Polygons, instances: np.ndarray) -> Polygons:
    """The instances at ``instances`` (K,), in that order."""
    parts = _ranges(polygons.instance_start, instances)
    return Polygons(
        points=polygons.points[_ranges(polygons.part_start, parts)],
        part_start=starts(np.diff(polygons.part_start)[parts]),
        instance_start=starts(np.diff(polygons.instance_start)[instances]),
    )


def concatenate_polygons(several: Sequence[Polygons]) -> Polygons:
    """The instances of several images, one after the other; at least one."""
    return Polygons(
        points=np.concatenate([p.points for p in several]),
        part_start=starts(np.concatenate([np.diff(p.part_start) for p in several])),
        instance_start=starts(np.concatenate([np.diff(p.instance_start) for p in several])),
    )


def signed_part_areas(polygons: Polygons) -> np.ndarray:
    """Shoelace area (R,) float64 of each part; positive when x to y turns clockwise on the screen.

    A part without points has area 0.
    """
    counts = np.diff(polygons.part_start)
    if not len(counts):
        return np.zeros(0)
    filled = counts > 0
    first = polygons.part_start[:-1][filled]
    points = polygons.points.astype(np.float64)
    following = np.arange(1, len(points) + 1)
    following[polygons.part_start[1:][filled] - 1] = first
    x, y = points[:, 0], points[:, 1]
    cross = x * y[following] - x[following] * y
    areas = np.zeros(len(counts))
    areas[filled] = 0.5 * np.add.reduceat(cross, first)
    return areas


def part_areas(polygons: Polygons) -> np.ndarray:
    """Area (R,) float64 of each part in square pixels, whichever way round it was drawn."""
    return np.abs(signed_part_areas(polygons))


def instance_areas(polygons: Polygons) -> np.ndarray:
    """Sum (G,) float64 of the areas of each instance's parts; overlapping parts count twice."""
    return _sum_runs(part_areas(polygons), polygons.instance_start)


def tight_boxes(polygons: Polygons) -> np.ndarray:
    """Tight boxes (G, 4) float32 xyxy around all parts; zeros for an instance without points."""
    edges = polygons.part_start[polygons.instance_start]
    boxes = np.zeros((len(polygons), 4), np.float32)
    filled = np.diff(edges) > 0
    first = edges[:-1][filled]
    if len(first):
        boxes[filled, :2] = np.minimum.reduceat(polygons.points, first)
        boxes[filled, 2:] = np.maximum.reduceat(polygons.points, first)
    return boxes


def _sum_runs(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    totals = np.concatenate([[0.0], np.cumsum(values)])
    return totals[start[1:]] - totals[start[:-1]]


def _ranges(first: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Indices of ``first[i]:first[i + 1]`` for every chosen i, one after the other."""
    lengths = first[chosen + 1] - first[chosen]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first[chosen] - ends + lengths, lengths)
