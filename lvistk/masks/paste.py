"""Masks of M x M probabilities pasted into the image inside their boxes, straight to COCO's RLE.

The value of the pixel with its centre at (x + .5, y + .5) is the bilinear interpolation of the mask, whose
M x M cells fill the box exactly and beyond which it is zero (detectron2's ``paste_masks_in_image``,
``grid_sample`` without aligned corners). A column of the image is interpolated, compared with the threshold
and written as runs at once; no bitmap of the whole image ever exists.
"""

import numpy as np

from lvistk.jit import kernel
from lvistk.masks.rle import Size, check_size
from lvistk.masks.rle_encode import MOST_BYTES, write_counts


def paste_masks(
    probs: np.ndarray, boxes: np.ndarray, *, size: Size, threshold: float = 0.5
) -> list[bytes]:
    """Compressed RLE counts of N masks; N = 0 gives an empty list.

    probs: (N, M, M) float32, 0 to 1
    boxes: (N, 4) xyxy in image pixels; they may reach beyond the image, and without area give an empty mask
    size: height and width of the image
    threshold: above 0; a pixel is foreground from this value on

    Raises ``TooLarge`` for an image of 2 ** 32 pixels or more.
    """
    check_size(size)
    if not len(probs):
        return []
    flat, offsets = _paste(
        np.ascontiguousarray(probs, np.float32),
        np.ascontiguousarray(boxes, np.float32),
        size[0],
        size[1],
        np.float32(threshold),
    )
    data = flat.tobytes()
    return [data[offsets[k] : offsets[k + 1]] for k in range(len(probs))]


@kernel
def _axis(low: np.float32, high: np.float32, side: int, cells: int):
    """Pixels of one axis that a mask can reach: first pixel, (n,) left cell and (n,) weight of the right.

    Cell k has its centre at ``low + (k + .5) * (high - low) / cells``; -1 and ``cells`` are outside.
    """
    cell = (high - low) / np.float32(cells)
    first = max(0, int(np.floor(low - cell / 2 - np.float32(0.5))))
    last = min(side, int(np.ceil(high + cell / 2 + np.float32(0.5))))
    count = max(0, last - first) if cell > 0 else 0
    left = np.empty(count, np.int64)
    weight = np.empty(count, np.float32)
    for k in range(count):
        position = (np.float32(first + k) + np.float32(0.5) - low) / cell - np.float32(0.5)
        floor = np.floor(position)
        left[k] = int(floor)
        weight[k] = position - floor
    return first, left, weight


@kernel
def _column(mask: np.ndarray, left: int, weight: np.float32, column: np.ndarray) -> None:
    """Into ``column`` (M + 4,): the mask between two of its columns, with two zeros at each end."""
    cells = len(mask)
    for row in range(cells):
        value = np.float32(0)
        if 0 <= left < cells:
            value += mask[row, left] * (np.float32(1) - weight)
        if 0 <= left + 1 < cells:
            value += mask[row, left + 1] * weight
        column[row + 2] = value


@kernel
def _runs(mask, box, height, width, threshold, runs):
    """Runs (n,) of one pasted mask, background first: the buffer, perhaps a larger one, and n."""
    x0, columns, x_weight = _axis(box[0], box[2], width, len(mask))
    y0, rows, y_weight = _axis(box[1], box[3], height, len(mask))
    column = np.zeros(len(mask) + 4, np.float32)
    n = 0
    on = False
    end = 0  # where the last run ended
    for x in range(len(columns)):
        if n + len(rows) + 4 > len(runs):
            larger = np.empty(2 * len(runs) + len(rows) + 4, np.int64)
            larger[:n] = runs[:n]
            runs = larger
        _column(mask, columns[x], x_weight[x], column)
        start = (x0 + x) * height + y0
        if on and y0 > 0:
            runs[n] = start - y0 - end
            end = start - y0
            n += 1
            on = False
        for y in range(len(rows)):
            cell = min(max(rows[y] + 2, 0), len(column) - 2)
            weight = y_weight[y]
            value = column[cell] * (np.float32(1) - weight) + column[cell + 1] * weight
            if (value >= threshold) != on:
                runs[n] = start + y - end
                end = start + y
                n += 1
                on = not on
        if on and y0 + len(rows) < height:
            runs[n] = start + len(rows) - end
            end = start + len(rows)
            n += 1
            on = False
    runs[n] = height * width - end
    return runs, n + 1


@kernel
def _paste(probs, boxes, height, width, threshold):
    """The counts of all masks one after the other, (B,) uint8, and their offsets (N + 1,)."""
    offsets = np.zeros(len(probs) + 1, np.int64)
    out = np.empty(256 * len(probs) + 64, np.uint8)
    runs = np.empty(4096, np.int64)
    at = 0
    for k in range(len(probs)):
        runs, n = _runs(probs[k], boxes[k], height, width, threshold, runs)
        if at + MOST_BYTES * n > len(out):
            larger = np.empty(2 * len(out) + MOST_BYTES * n, np.uint8)
            larger[:at] = out[:at]
            out = larger
        at = write_counts(runs, n, out, at)
        offsets[k + 1] = at
    return out[:at], offsets
