"""A bitmap's exact outline as polygons in the LVIS sense: a union of parts, holes by keyholes.

LVIS unites the polygons of an instance, so a nested polygon doesn't cut a hole. A hole is joined
to the outline around it by a slit of no width that is walked in both directions.
"""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray
LONG_RUN = 3  # pixels; shorter runs are the steps of a staircase


def polygons(
    mask: Array,
    *,
    origin: tuple[int, int],
    scale: int,
    min_area: float = 1.5,
    tolerance: float = 0.35,
) -> list[Array]:
    """Outline a bitmap that is `scale` times finer than the image.

    Args:
        mask: `(h, w)` uint8, not zero inside.
        origin: x and y of the bitmap's corner in the image, in fine pixels.
        scale: fine pixels an image pixel.
        min_area: parts are left out and holes filled below it, image pixels squared.
        tolerance: how far the simplified outline may be off, fine pixels.

    Returns:
        One polygon `(N, 2)`, N >= 3, for each connected part, in image pixels with pixel edges at
        whole numbers; none for an empty bitmap.
    """
    # At twice the resolution a contour runs through the cells at both edges of a pixel, so that
    # odd and even cells tell the right edge from the left: the outline of the area, not of centres.
    double = cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, tree = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    edges = [_edges(contour, tolerance) for contour in contours]
    least = min_area * scale**2
    result = []
    for index, outer in enumerate(edges):
        _, _, child, parent = tree[0][index]
        if parent >= 0 or abs(signed_area(outer)) < least:
            continue
        holes = []
        while child >= 0:
            if abs(signed_area(edges[child])) >= least:
                holes.append(edges[child])
            child = tree[0][child][0]
        result.append((_keyhole(outer, holes) + np.asarray(origin)) / scale)
    return result


def signed_area(points: Array) -> float:
    """The shoelace area of a polygon `(N, 2)`; its sign is the direction of the walk."""
    x, y = points[:, 0], points[:, 1]
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _edges(contour: Array, tolerance: float) -> Array:
    """A contour of doubled pixels as a simplified line along pixel edges, `(N, 2)` float.

    The line joins the middles of the straight runs, so that a slanted border is straight and not a
    staircase; corners between two long runs are kept.
    """
    cells = contour[:, 0, :]
    edge = ((cells + (cells & 1)) / 2).astype(np.float32)
    edge = edge[(edge != np.roll(edge, 1, axis=0)).any(axis=1)]
    step = np.roll(edge, -1, axis=0) - edge
    corners = edge[(step != np.roll(step, 1, axis=0)).any(axis=1)]
    run = np.abs(np.roll(corners, -1, axis=0) - corners).max(axis=1)
    middles = (corners + np.roll(corners, -1, axis=0)) / 2
    kept = (run >= LONG_RUN) & (np.roll(run, 1) >= LONG_RUN)
    line = np.stack([corners, middles], axis=1)[np.stack([kept, np.ones_like(kept)], axis=1)]
    short = cv2.approxPolyDP(line[:, None], tolerance, True)[:, 0]
    return (short if len(short) >= 3 else corners).astype(np.float64)


def _keyhole(outer: Array, holes: list[Array]) -> Array:
    """Join holes to their outline, the nearest first, each by a slit between two corners.

    OpenCV walks holes against the direction of outlines, so their areas subtract.
    """
    line, waiting = outer, list(holes)
    slits = [_nearest(outer, hole) for hole in waiting]
    while waiting:
        pick = int(np.argmin([distance for distance, _, _ in slits]))
        hole, (_, corner, start) = waiting.pop(pick), slits.pop(pick)
        at = int(np.flatnonzero((line == corner).all(axis=1))[0])
        walk = np.roll(hole, -start, axis=0)
        line = np.concatenate([line[: at + 1], walk, walk[:1], line[at:]])
        via = [_nearest(hole, other) for other in waiting]
        slits = [
            min(old, new, key=lambda slit: slit[0]) for old, new in zip(slits, via, strict=True)
        ]
    return line


def _nearest(line: Array, hole: Array) -> tuple[float, Array, int]:
    """The squared distance of two lines' nearest corners, the first's corner, the second's index."""
    across = line[:, None, 0] - hole[None, :, 0]
    down = line[:, None, 1] - hole[None, :, 1]
    gap = across * across + down * down
    at, start = np.unravel_index(int(gap.argmin()), gap.shape)
    return float(gap[at, start]), line[at], int(start)
