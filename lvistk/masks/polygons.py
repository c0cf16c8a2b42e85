"""Polygons of many instances as flat arrays: area, tight boxes, validity.

An instance is the union of its parts; nested parts make a disk, not a ring.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Polygons:
    """Polygons of G instances with R parts of P points in all.

    Fields: ``points (P, 2)`` float32, x before y, in pixels; ``part_start (R + 1,)`` int64, part r has the
    points ``part_start[r]:part_start[r + 1]``; ``instance_start (G + 1,)`` int64, instance g has the
    parts ``instance_start[g]:instance_start[g + 1]``. An instance may have no part.
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
    """Where each of R runs of ``counts`` items starts, and the end of the last: (R + 1,) int64."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


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
