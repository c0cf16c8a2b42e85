"""Run-length encoded masks in COCO's compressed form, on numpy arrays and bytes.

An RLE here is the pair (height, width) and ``bytes``: the ``counts`` of a compressed COCO RLE,
column-major runs that start with background. ``rle_decode`` and ``rle_encode`` hold the compiled code; numba
is imported with the first mask, so that a command without masks does not wait for it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lvistk.errors import UserError
from lvistk.masks.codes import BAD_COUNTS, MOST_PIXELS, OK
from lvistk.masks.polygons import starts

Size = tuple[int, int]
"""Height and width in pixels."""
MIN_COORDINATES = 6
"""Of a polygon with an area: three points."""


class TooLarge(UserError, ValueError):
    """An image with more pixels than a mask can number; a defect where others of a file are checked."""


class Extents(NamedTuple):
    """How large N masks are.

    areas: (N,) int64, in pixels
    boxes: (N, 4) int64, tight, xyxy in pixels; zeros for an empty mask
    """

    areas: np.ndarray
    boxes: np.ndarray


def encode(bitmap: np.ndarray) -> bytes:
    """Counts of one mask (H, W) of 0 and 1."""
    height, width = bitmap.shape
    check_size((height, width))
    pixels = np.asfortranarray(bitmap, dtype=np.uint8).reshape(-1, order="F")
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    if pixels[:1].any():
        edges = np.concatenate([[0], edges])  # background first, of no length
    return from_runs(np.diff(edges, prepend=0, append=len(pixels)), (height, width))


def from_runs(lengths: Sequence[int] | np.ndarray, size: Size) -> bytes:
    """Counts of one mask of uncompressed runs (R,), background first.

    Raises ``ValueError`` where a run is negative, or the runs do not fill ``size``.
    """
    from lvistk.masks.rle_encode import counts_of_runs

    check_size(size)
    runs = np.asarray(lengths, np.int64)
    if runs.min(initial=0) < 0 or runs.sum() != size[0] * size[1]:
        raise ValueError(f"the runs do not fill {size[0]} x {size[1]} pixels")
    return counts_of_runs(runs, len(runs)).tobytes()


def from_polygons(polygons: Sequence[np.ndarray], size: Size) -> bytes:
    """Counts of the union of polygons (each (2V,) or (V, 2), x before y), as COCO rasterises them.

    A polygon of fewer than three points covers nothing; no polygon gives an empty mask. Raises
    ``ValueError`` where a coordinate is not finite or beyond any image.
    """
    from lvistk.masks.polygon_spans import spans_of_polygons
    from lvistk.masks.rle_encode import counts_of_spans

    check_size(size)
    flat = [np.asarray(polygon, np.float64).reshape(-1) for polygon in polygons]
    flat = [part for part in flat if len(part) >= MIN_COORDINATES]
    if not flat:
        return from_runs([size[0] * size[1]], size)
    numbers = [np.array([len(flat)], np.float64)]
    for part in flat:
        numbers += [np.array([len(part)], np.float64), part]
    numbers = np.concatenate(numbers)
    first, last, n, _, code = spans_of_polygons(numbers, 0, *size)
    if code != OK:
        raise ValueError("a polygon with coordinates that are not finite or beyond any image")
    return counts_of_spans(first, last, n, size[0] * size[1]).tobytes()


def decode(counts: bytes, size: Size) -> np.ndarray:
    """Mask (H, W) uint8 of 0 and 1, in Fortran order; ``ValueError`` as ``extents`` raises it."""
    from lvistk.masks.rle_decode import SLACK, bitmap_of_rle

    check_size(size)
    height, width = size
    pixels = np.zeros(height * width, np.uint8)
    text = np.frombuffer(bytearray(counts + bytes(SLACK)), np.uint8)
    if bitmap_of_rle(text, len(counts), pixels) != OK:
        raise ValueError(NO_MASK.format(height, width))
    return pixels.reshape(width, height).T


def extents(masks: Sequence[bytes], size: Size) -> Extents:
    """Areas and tight boxes of N masks of one ``size``; N = 0 gives empty arrays.

    A run from the foot of one column into the next makes the box as high as the image, as in COCO.
    Raises ``ValueError`` where the counts of a mask are no RLE, or do not fill ``size``.
    """
    from lvistk.masks.rle_decode import SLACK, extents_of_rles

    check_size(size)
    areas = np.zeros(len(masks), np.int64)
    boxes = np.zeros((len(masks), 4), np.int64)
    text = np.frombuffer(bytearray().join([*masks, bytes(SLACK)]), np.uint8)
    offsets = starts([len(counts) for counts in masks])
    _, code = extents_of_rles(text, offsets, *size, areas, boxes)
    if code != OK:
        raise ValueError(NO_MASK.format(*size))
    return Extents(areas, boxes)


def areas(masks: Sequence[bytes], size: Size) -> np.ndarray:
    """Areas (N,) int64 in pixels; ``ValueError`` as ``extents`` raises it."""
    return extents(masks, size).areas


def boxes(masks: Sequence[bytes], size: Size) -> np.ndarray:
    """Tight boxes (N, 4) float32 xyxy; zeros for an empty mask; ``ValueError`` as ``extents`` raises it."""
    return extents(masks, size).boxes.astype(np.float32)


def runs(counts: bytes) -> np.ndarray:
    """Run lengths (R,) int64, background first; empty ones are kept.

    Raises ``ValueError`` where the bytes are no compressed RLE.
    """
    from lvistk.masks.rle_decode import decode_counts

    lengths = np.empty(len(counts), np.int64)
    n, code = decode_counts(
        np.frombuffer(bytearray(counts), np.uint8), 0, len(counts), False, lengths
    )
    if code == BAD_COUNTS:
        raise ValueError(
            "a byte outside '0' to 'o', a number cut off or too long, or a negative run"
        )
    return lengths[:n]


def check_size(size: Size) -> None:
    """Raise ``TooLarge`` where an image of ``size`` has more pixels than a mask can number."""
    height, width = size
    if int(height) * int(width) > MOST_PIXELS:
        raise TooLarge(
            f"an image of {width} x {height} pixels is too large for masks, which number up to "
            f"{MOST_PIXELS} pixels; cut it into tiles"
        )


NO_MASK = "counts that are no RLE of a mask of {} x {} pixels"
