"""The mask of one scanned record, whatever form it has there."""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.results_json.record_masks import longest_rle
from lvistk.evaluation.results_json.records import HAS_BOX, NO_MASK, POLYGONS, RLE_TEXT
from lvistk.jit import kernel
from lvistk.masks.codes import OK
from lvistk.masks.polygon_spans import spans_of_polygons
from lvistk.masks.rle_decode import SLACK, spans_of_rle, spans_of_runs
from lvistk.masks.spans import box_of_runs, box_of_spans


class Scratch(NamedTuple):
    """Arrays that every mask of a section is made in: those of ``rle_decode.Scratch``, and its boxes."""

    runs: np.ndarray
    numbers: np.ndarray
    plain: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    tight: np.ndarray
    """(4,) int64 x, y, width, height of the mask"""
    box: np.ndarray
    """(4,) float64 x, y, width, height of the record"""


@kernel
def scratch_for(records):
    """Scratch with room for the longest RLE of ``records``."""
    return new_scratch(longest_rle(records))


@kernel
def new_scratch(longest):
    """Scratch with room for an RLE of ``longest`` bytes or runs."""
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
def _box_as_polygon(record):
    """The polygon that lvis-api makes of a box, in the layout of POLYGONS."""
    x1, y1 = record["x"], record["y"]
    x2, y2 = x1 + record["width"], y1 + record["height"]
    return np.array([1.0, 8.0, x1, y1, x1, y2, x2, y2, x2, y1])


@kernel
def mask_of(text, record, numbers, height, width, boxed, scratch):
    """The mask of a record: (starts, stops, number, area, code); its tight box into ``scratch.tight``.

    Where the record has no box of its own, ``scratch.box`` becomes the mask's, as lvis-api takes it;
    ``boxed`` says that the input's first record has one.
    """
    kind = record["mask_kind"]
    boxless = not boxed and record["has"] & HAS_BOX == 0
    starts, stops, tight = scratch.starts, scratch.stops, scratch.tight
    if kind in (NO_MASK, POLYGONS):
        outline = _box_as_polygon(record) if kind == NO_MASK else numbers
        place = 0 if kind == NO_MASK else record["mask_start"]
        starts, stops, m, area, code = spans_of_polygons(outline, place, height, width)
        box_of_spans(starts, stops, m, height, tight)
        if boxless:
            _take_over(tight, scratch.box)
        return starts, stops, m, area, code
    height, width = record["mask_height"], record["mask_width"]
    first, last = record["mask_start"], record["mask_stop"]
    if kind == RLE_TEXT:
        escaped = record["escaped"] != 0
        m, area, count, code = spans_of_rle(text, first, last, escaped, height * width, scratch)
    else:
        count = last - first
        for k in range(count):
            scratch.runs[k] = np.int64(numbers[first + k])
        m, area, code = spans_of_runs(scratch.runs, count, height * width, starts, stops)
    if code == OK:
        box_of_spans(starts, stops, m, height, tight)
        if boxless and count < 0:
            _take_over(tight, scratch.box)
        elif boxless:  # runs without length move the official box
            box_of_runs(scratch.runs, count, height, width, scratch.box)
    return starts, stops, m, area, code


@kernel
def _take_over(tight, box):
    for j in range(4):
        box[j] = tight[j]
