"""Masks of scanned records as spans, one after the other."""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.results_json.records import NO_MASK, POLYGONS, RLE_RUNS, RLE_TEXT
from lvistk.jit import kernel
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, OK
from lvistk.masks.polygon_spans import spans_of_polygons
from lvistk.masks.rle_decode import new_scratch, spans_of_rle, spans_of_runs
from lvistk.masks.spans import box_of_spans, grown


class Masks(NamedTuple):
    """Masks of R records: span counts (R,), all spans, areas (R,) px, tight boxes (R, 4) x, y, w, h."""

    counts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    code: int
    place: int


def rasterise(
    text: np.ndarray,
    records: np.ndarray,
    numbers: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
) -> Masks:
    """Spans of every record's mask in its image of height x width.

    A ``code`` other than 0 names what is wrong with the mask of record ``place``.
    """
    return Masks(*_rasterise(text, records, numbers, heights, widths))


@kernel
def longest_rle(records):
    """The most runs that an RLE of the records can have."""
    most = 0
    for k in range(len(records)):
        kind = records[k]["mask_kind"]
        if kind in (RLE_TEXT, RLE_RUNS):
            most = max(most, records[k]["mask_stop"] - records[k]["mask_start"])
    return most


@kernel
def _spans_of_record(text, record, numbers, total, scratch):
    """Spans of a record's RLE, compressed or plain, into the scratch: (number, area, code)."""
    first = record["mask_start"]
    last = record["mask_stop"]
    if record["mask_kind"] == RLE_TEXT:
        escaped = record["escaped"] != 0
        m, area, _, code = spans_of_rle(text, first, last, escaped, total, scratch)
        return m, area, code
    for k in range(last - first):
        scratch.runs[k] = np.int64(numbers[first + k])
    return spans_of_runs(scratch.runs, last - first, total, scratch.starts, scratch.stops)


@kernel
def _rasterise(text, records, numbers, heights, widths):
    n = len(records)
    counts = np.zeros(n, np.int64)
    areas = np.zeros(n, np.int64)
    boxes = np.zeros((n, 4), np.int32)
    starts = np.empty(64 * n + 64, np.uint32)
    stops = np.empty(64 * n + 64, np.uint32)
    scratch = new_scratch(longest_rle(records))
    used = 0
    for k in range(n):
        record = records[k]
        height = np.int64(heights[k])
        width = np.int64(widths[k])
        s, e = scratch.starts, scratch.stops
        m, area, code = 0, 0, BAD_POLYGON
        if record["mask_kind"] == POLYGONS:
            s, e, m, area, code = spans_of_polygons(numbers, record["mask_start"], height, width)
        elif record["mask_kind"] != NO_MASK:
            m, area, code = _spans_of_record(text, record, numbers, height * width, scratch)
            if record["mask_height"] != height or record["mask_width"] != width:
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
        box_of_spans(s, e, m, height, boxes[k])
    return counts, starts[:used], stops[:used], areas, boxes, OK, 0
