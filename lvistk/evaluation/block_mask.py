"""The mask of one row of a block, whatever form it has there, as spans."""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.blocks import HAS_BOX, NO_MASK, POLYGONS, RLE_RUNS, RLE_TEXT, Block
from lvistk.jit import kernel
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, OK
from lvistk.masks.polygon_spans import spans_of_polygons
from lvistk.masks.rle_decode import SLACK, spans_of_rle, spans_of_runs
from lvistk.masks.spans import box_of_runs, box_of_spans, grown


class Scratch(NamedTuple):
    """Arrays that every mask of a block is made in: those of ``rle_decode.Scratch``, and its boxes."""

    runs: np.ndarray
    numbers: np.ndarray
    plain: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    tight: np.ndarray
    """(4,) int64 x, y, width, height of the mask"""
    box: np.ndarray
    """(4,) float64 x, y, width, height of the row"""


class Form(NamedTuple):
    """Where and how the mask of one row is written, as in ``Block``.

    Compiled code passes these on; the whole block, a tuple of twenty arrays, costs 0.1 us a call.
    """

    kind: int
    start: int
    stop: int
    height: int
    width: int
    escaped: bool
    boxless: bool
    """whether the row's box is to be the mask's"""


@kernel
def scratch_for(block):
    """Scratch with room for the longest RLE of ``block``."""
    longest = 0
    for k in range(len(block.mask_kinds)):
        if block.mask_kinds[k] == RLE_TEXT or block.mask_kinds[k] == RLE_RUNS:
            longest = max(longest, block.mask_stops[k] - block.mask_starts[k])
    return Scratch(
        np.empty(longest, np.int64),
        np.empty(longest + SLACK, np.int32),
        np.empty(longest + SLACK, np.uint8),
        np.empty(longest // 2 + 1, np.uint32),
        np.empty(longest // 2 + 1, np.uint32),
        np.zeros(4, np.int64),
        np.zeros(4, np.float64),
    )


@kernel
def _box_as_polygon(box):
    """The polygon that lvis-api makes of a box, in the layout of POLYGONS."""
    x1, y1 = box[0], box[1]
    x2, y2 = x1 + box[2], y1 + box[3]
    return np.array([1.0, 8.0, x1, y1, x1, y2, x2, y2, x2, y1])


@kernel
def form_of(block, k, boxed):
    """How the mask of row ``k`` is written; ``boxed`` says that the input's first row has a box."""
    return Form(
        block.mask_kinds[k],
        block.mask_starts[k],
        block.mask_stops[k],
        block.mask_heights[k],
        block.mask_widths[k],
        block.escaped[k] != 0,
        not boxed and block.has[k] & HAS_BOX == 0,
    )


@kernel
def mask_of(text, numbers, form, height, width, scratch):
    """The mask of ``form``: (starts, stops, number, area, code); its tight box into ``scratch.tight``.

    ``text`` and ``numbers`` are the block's; ``height`` and ``width`` the image's, for polygons.
    ``scratch.box`` is the row's box; where it has none it becomes the mask's, as lvis-api takes it.
    """
    starts, stops, tight = scratch.starts, scratch.stops, scratch.tight
    if form.kind == NO_MASK or form.kind == POLYGONS:
        outline = _box_as_polygon(scratch.box) if form.kind == NO_MASK else numbers
        first = 0 if form.kind == NO_MASK else form.start
        starts, stops, m, area, code = spans_of_polygons(outline, first, height, width)
        box_of_spans(starts, stops, m, height, tight)
        if form.boxless:
            _take_over(tight, scratch.box)
        return starts, stops, m, area, code
    height, width = form.height, form.width
    if form.kind == RLE_TEXT:
        m, area, count, code = spans_of_rle(
            text, form.start, form.stop, form.escaped, height * width, scratch
        )
    else:
        count = form.stop - form.start
        for j in range(count):
            scratch.runs[j] = np.int64(numbers[form.start + j])
        m, area, code = spans_of_runs(scratch.runs, count, height * width, starts, stops)
    if code == OK:
        box_of_spans(starts, stops, m, height, tight)
        if form.boxless and count < 0:
            _take_over(tight, scratch.box)
        elif form.boxless:  # runs without length move the official box
            box_of_runs(scratch.runs, count, height, width, scratch.box)
    return starts, stops, m, area, code


@kernel
def _take_over(tight, box):
    for j in range(4):
        box[j] = tight[j]


class Spans(NamedTuple):
    """Masks of D rows: span counts (D,), all spans, areas (D,) px, tight boxes (D, 4) x, y, w, h.

    A ``code`` other than 0 names what is wrong with the mask of ``row``.
    """

    counts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    code: int
    row: int


NO_SPANS = Spans(
    counts=np.zeros(0, np.int64),
    starts=np.zeros(0, np.uint32),
    stops=np.zeros(0, np.uint32),
    areas=np.zeros(0, np.int64),
    boxes=np.zeros((0, 4), np.int32),
    code=OK,
    row=0,
)


def spans_of_block(block: Block, heights: np.ndarray, widths: np.ndarray) -> Spans:
    """The masks of all rows, each in its image of ``heights`` and ``widths (D,)``; all must have one."""
    if not len(heights):  # of boxes alone: the kernel, the largest but one, isn't even loaded
        return NO_SPANS
    return Spans(*_spans_of_block(block, heights, widths))


@kernel
def _spans_of_block(block, heights, widths):
    n = len(heights)
    counts = np.zeros(n, np.int64)
    areas = np.zeros(n, np.int64)
    boxes = np.zeros((n, 4), np.int32)
    starts = np.empty(64 * n + 64, np.uint32)
    stops = np.empty(64 * n + 64, np.uint32)
    scratch = scratch_for(block)
    used = 0
    for k in range(n):
        kind = block.mask_kinds[k]
        height, width = np.int64(heights[k]), np.int64(widths[k])
        s, e, m, area, code = scratch.starts, scratch.stops, 0, 0, BAD_POLYGON
        if kind != NO_MASK:
            s, e, m, area, code = mask_of(
                block.text, block.numbers, form_of(block, k, True), height, width, scratch
            )
        foreign = block.mask_heights[k] != height or block.mask_widths[k] != width
        if code == OK and kind != POLYGONS and foreign:
            code = BAD_COUNTS
        if code != OK:
            return counts, starts[:0], stops[:0], areas, boxes, code, k
        if used + m > len(starts):
            starts = grown(starts, used + m)
            stops = grown(stops, used + m)
        for j in range(m):
            starts[used + j] = s[j]
            stops[used + j] = e[j]
        used += m
        counts[k] = m
        areas[k] = area
        for j in range(4):
            boxes[k, j] = scratch.tight[j]
    return counts, starts[:used], stops[:used], areas, boxes, OK, 0
