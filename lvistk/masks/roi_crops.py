"""Mask targets of RoIs on the CPU: polygons by COCO's rule, bitmaps by RoIAlign's.

Polygons are drawn in the RoI's own grid of ``size`` x ``size`` cells, at coordinates between pixels. That is
another task than whole images as spans, which the evaluation needs (``polygon_spans``): nothing outside the
RoI is drawn, parts go straight into a small bitmap, and no list of spans is made or merged.

COCO draws a polygon on a grid of a fifth of a pixel, looks in every pixel column at the one fine column
through its middle, and toggles between outside and inside where an edge crosses it (even-odd). Edges
that cross none of the columns cost nothing here, and nothing is drawn outside the RoI.
"""

import numpy as np

from lvistk.jit import kernel

FINE = 5
"""Fine grid lines per pixel."""
SMALLEST_SIDE = 0.1
"""RoIs of polygons are taken to be at least this wide and high, in pixels (detectron2's rule)."""


@kernel
def crop_polygons(points, part_start, instance_start, instances, boxes, size):
    """Masks (K, size, size) uint8 of polygon instances in RoIs.

    points: (P, 2) float64, with ``part_start (R + 1,)`` and ``instance_start (G + 1,)`` as in ``Polygons``
    instances: (K,) int64
    boxes: (K, 4) float32 xyxy

    Bit for bit what pycocotools gives for the polygon moved to the RoI's corner and scaled to ``size``,
    as detectron2 does it.
    """
    masks = np.zeros((len(instances), size, size), np.uint8)
    toggles = np.zeros(size * size + 1, np.uint8)
    for k in range(len(instances)):
        left, top = np.float64(boxes[k, 0]), np.float64(boxes[k, 1])
        width = max(boxes[k, 2] - boxes[k, 0], np.float32(SMALLEST_SIDE))
        height = max(boxes[k, 3] - boxes[k, 1], np.float32(SMALLEST_SIDE))
        scale_x = np.float64(np.float32(size) / width)
        scale_y = np.float64(np.float32(size) / height)
        first, last = instance_start[instances[k]], instance_start[instances[k] + 1]
        for part in range(first, last):
            start, stop = part_start[part], part_start[part + 1]
            if start == stop:
                continue
            toggles[:] = 0
            previous_x = _fine((points[stop - 1, 0] - left) * scale_x)
            previous_y = _fine((points[stop - 1, 1] - top) * scale_y)
            for i in range(start, stop):
                x = _fine((points[i, 0] - left) * scale_x)
                y = _fine((points[i, 1] - top) * scale_y)
                _toggle_edge(toggles, previous_x, previous_y, x, y, size)
                previous_x, previous_y = x, y
            inside = 0
            for cell in range(size * size):
                inside ^= toggles[cell]
                if inside:
                    masks[k, cell % size, cell // size] = 1
    return masks


@kernel
def _fine(value):
    """A coordinate on the fine grid; cut towards zero, as COCO's C code does."""
    return np.int64(FINE * value + 0.5)


@kernel
def _toggle_edge(toggles, xa, ya, xb, yb, size):
    """Toggle, in each column that the edge crosses in its middle, the first pixel below the crossing."""
    middle = FINE // 2
    low, high = min(xa, xb), max(xa, xb)
    first = max(
        0, -((middle - low) // FINE)
    )  # the first column whose middle is not left of the edge
    last = min(size - 1, (high - middle - 1) // FINE)
    if first > last:
        return
    run, rise = abs(xb - xa), abs(yb - ya)
    if run >= rise:
        if xa > xb:
            xa, ya, yb = xb, yb, ya
        slope = (yb - ya) / run
        for column in range(first, last + 1):
            step = FINE * column + middle - xa
            before = np.int64(ya + slope * step + 0.5)
            after = np.int64(ya + slope * (step + 1) + 0.5)
            _toggle(toggles, column, min(before, after), size)
        return
    if ya > yb:
        xa, ya, xb = xb, yb, xa
    slope = (xb - xa) / rise
    for column in range(first, last + 1):
        border = (
            FINE * column + middle
        )  # the edge passes from here to the next fine column, or back
        step = min(max(np.int64((border + 0.5 - xa) / slope), 0), rise)
        while step > 0 and _beyond(xa, slope, step - 1, border):
            step -= 1
        while step < rise and not _beyond(xa, slope, step, border):
            step += 1
        _toggle(toggles, column, ya + step - 1, size)


@kernel
def _beyond(x, slope, step, border):
    """Whether an edge has passed the border between two fine columns after ``step`` fine rows."""
    here = np.int64(x + slope * step + 0.5)
    return here > border if slope > 0 else here <= border


@kernel
def _toggle(toggles, column, fine_row, size):
    row = (fine_row + 0.5) / FINE - 0.5
    row = np.ceil(min(max(row, 0.0), np.float64(size)))
    toggles[column * size + np.int64(row)] ^= 1


@kernel
def crop_bitmaps(pixels, pixel_start, pixel_box, image_size, instances, boxes, size):
    """Masks (K, size, size) uint8 of bitmap instances in RoIs, by RoIAlign's rule.

    pixels: (X,) uint8; instance g has ``pixels[pixel_start[g]:pixel_start[g + 1]]``, row by row
    pixel_box: (G, 4) int64 xyxy, the box of each bitmap; outside it, within the image, a bitmap is 0
    image_size: height and width of the image
    instances: (K,) int64
    boxes: (K, 4) float32 xyxy

    A cell is 1 when the mean of the bitmap, interpolated linearly at one point per pixel (adaptive
    sampling, aligned), is at least half. Up to one pixel beyond the image's border its last pixels are
    repeated; farther out is 0. A box without area gives zeros.
    """
    masks = np.zeros((len(instances), size, size), np.uint8)
    height, width = image_size
    for k in range(len(instances)):
        g = instances[k]
        x0, y0, x1, y1 = pixel_box[g]
        if x0 >= x1 or y0 >= y1:
            continue
        bitmap = pixels[pixel_start[g] : pixel_start[g + 1]].reshape((y1 - y0, x1 - x0))
        cell_x, cell_y = (boxes[k, 2] - boxes[k, 0]) / size, (boxes[k, 3] - boxes[k, 1]) / size
        count_x, count_y = int(np.ceil(cell_x)), int(np.ceil(cell_y))
        if count_x <= 0 or count_y <= 0:
            continue
        for row in range(size):
            for column in range(size):
                total = 0.0
                for j in range(count_y):
                    y = boxes[k, 1] + (row + (j + 0.5) / count_y) * cell_y - 0.5
                    if y < -1 or y > height:
                        continue
                    y = min(max(y, 0.0), height - 1.0) - y0
                    for i in range(count_x):
                        x = boxes[k, 0] + (column + (i + 0.5) / count_x) * cell_x - 0.5
                        if -1 <= x <= width:
                            x = min(max(x, 0.0), width - 1.0) - x0
                            total += _interpolate(bitmap, x, y)
                masks[k, row, column] = total >= 0.5 * count_x * count_y
    return masks


@kernel
def _interpolate(bitmap, x, y):
    """Linear interpolation at (x, y), where whole numbers are pixel centres; 0 outside."""
    height, width = bitmap.shape
    if x <= -1 or y <= -1 or x >= width or y >= height:
        return 0.0
    column, row = int(np.floor(x)), int(np.floor(y))
    share_x, share_y = x - column, y - row
    total = 0.0
    for down in range(2):
        for right in range(2):
            here_x, here_y = column + right, row + down
            if 0 <= here_x < width and 0 <= here_y < height and bitmap[here_y, here_x]:
                weight_x = share_x if right else 1.0 - share_x
                weight_y = share_y if down else 1.0 - share_y
                total += weight_x * weight_y
    return total
