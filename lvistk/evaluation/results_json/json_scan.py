"""Records of a results or annotations JSON array, scanned by compiled code.

The scanner knows the record shapes of LVIS and COCO (keys in any order, unknown keys skipped). Whatever is
out of the ordinary (escaped keys, numbers as strings, odd syntax, a broken file) makes it stop with
UNUSUAL, and a general parser takes that piece over: ``json_general``.
"""

import numpy as np

from lvistk.evaluation.blocks import (
    HAS_AREA,
    HAS_BOX,
    HAS_CATEGORY,
    HAS_ID,
    HAS_IMAGE,
    HAS_SCORE,
    NO_MASK,
    POLYGONS,
    RLE_RUNS,
    RLE_TEXT,
)
from lvistk.evaluation.results_json.json_values import (
    AREA,
    BBOX,
    CATEGORY_ID,
    COUNTS,
    ID,
    IGNORE,
    IMAGE_ID,
    SCORE,
    SEGMENTATION,
    SIZE,
    read_integer,
    read_key,
    skip_value,
    string_end,
)
from lvistk.evaluation.results_json.records import RECORD
from lvistk.jit import kernel
from lvistk.json_numbers import PARSED, UNUSUAL, parse_number, read_numbers, skip_space
from lvistk.masks.codes import COORDINATE_LIMIT
from lvistk.masks.polygon_text import read_polygons
from lvistk.wide import byte_at


@kernel
def _are_polygons(numbers, first):
    """Whether all parts of the polygons at ``first`` have three points or more, none of them far outside."""
    sound = True
    p = first + 1
    for _ in range(np.int64(numbers[first])):
        size = np.int64(numbers[p])
        sound &= size >= 6 and size % 2 == 0
        for k in range(p + 1, p + 1 + size):
            sound &= abs(numbers[k]) <= COORDINATE_LIMIT
        p += 1 + size
    return sound


@kernel
def _may_be_bytes(numbers, first, last):
    """Whether numbers first:last can be the bytes of compressed counts."""
    k = first
    while k < last and 48 <= numbers[k] <= 111:
        k += 1
    return k == last


@kernel
def _are_whole(numbers, first, last):
    whole = True
    for k in range(first, last):
        whole &= numbers[k] == np.floor(numbers[k])
    return whole


@kernel
def read_rle(text, p, stop, record, numbers, n):
    """An RLE object at p into ``record``: (n after it, offset after it, code)."""
    p = skip_space(text, p + 1)
    sized = False
    while p < stop:
        key, p, code = read_key(text, p, stop)
        if code != PARSED:
            return n, p, UNUSUAL
        first = n
        if key == COUNTS and byte_at(text, p) == 34:
            end = string_end(text, p + 1, stop)
            wrapped = byte_at(text, p + 1) == 98 and byte_at(text, p + 2) == 39  # b'...'
            if end <= p + 1 or wrapped:
                return n, p, UNUSUAL
            record["mask_kind"] = RLE_TEXT
            record["mask_start"] = p + 1
            record["mask_stop"] = end
            p = end + 1
        elif key in (COUNTS, SIZE):
            n, p, code = read_numbers(text, p, stop, numbers, n)
            if key == COUNTS:
                whole = _are_whole(numbers, first, n)
                if n == first or not whole or _may_be_bytes(numbers, first, n):
                    return n, p, UNUSUAL
                record["mask_kind"] = RLE_RUNS
                record["mask_start"] = first
                record["mask_stop"] = n
            elif n == first + 2 and _are_whole(numbers, first, n):
                record["mask_height"] = np.int64(numbers[first])
                record["mask_width"] = np.int64(numbers[first + 1])
                sized = True
        else:
            p, code = skip_value(text, p, stop)
        p = skip_space(text, p)
        if code != PARSED or (byte_at(text, p) != 44 and byte_at(text, p) != 125):
            return n, p, UNUSUAL
        if byte_at(text, p) == 125:
            done = sized and record["mask_kind"] != NO_MASK
            return n, p + 1, PARSED if done else UNUSUAL
        p = skip_space(text, p + 1)
    return n, p, UNUSUAL


@kernel
def read_box(text, p, stop, record, numbers, n):
    """A box [x, y, width, height] at p into ``record``: (offset after it, code)."""
    last, p, code = read_numbers(text, p, stop, numbers, n)
    if code != PARSED or last != n + 4:
        return p, UNUSUAL
    record["x"] = numbers[n]
    record["y"] = numbers[n + 1]
    record["width"] = numbers[n + 2]
    record["height"] = numbers[n + 3]
    record["has"] |= HAS_BOX
    return p, PARSED


@kernel
def read_mask(text, p, stop, record, numbers, n):
    """A segmentation at p, RLE or polygons, into ``record``: (n after it, offset after it, code)."""
    if byte_at(text, p) == 123:
        return read_rle(text, p, stop, record, numbers, n)
    if byte_at(text, p) == 110:  # null
        p, code = skip_value(text, p, stop)
        return n, p, code
    if byte_at(text, p) != 91:
        return n, p, UNUSUAL
    first = n
    n, p, code = read_polygons(text, p, stop, numbers, n)
    if code != PARSED or not _are_polygons(numbers, first):
        return n, p, UNUSUAL
    if numbers[first] > 0:
        record["mask_kind"] = POLYGONS
        record["mask_start"] = first
        record["mask_stop"] = n
    return n, p, code


@kernel
def read_plain_field(text, p, stop, key, record):
    """The value at p of a key that holds one number, or of an unknown key: (offset after it, code)."""
    if key == IMAGE_ID:
        record["image_id"], p, code = read_integer(text, p)
        record["has"] |= HAS_IMAGE
    elif key == CATEGORY_ID:
        record["category_id"], p, code = read_integer(text, p)
        record["has"] |= HAS_CATEGORY
    elif key == SCORE:
        record["score"], p, code = parse_number(text, p)
        record["has"] |= HAS_SCORE
    elif key == ID:
        record["id"], p, code = read_integer(text, p)
        record["has"] |= HAS_ID
    elif key == AREA:
        record["area"], p, code = parse_number(text, p)
        record["has"] |= HAS_AREA
    else:
        if key == IGNORE:  # 0, 1, true, false, null; anything else is for the general parser
            record["ignore"] = byte_at(text, p) == 49 or byte_at(text, p) == 116
            if byte_at(text, p) == 34 or byte_at(text, p) == 45 or byte_at(text, p + 1) == 46:
                return p, UNUSUAL
        p, code = skip_value(text, p, stop)
    return p, code


@kernel
def put_record(records, k, record):
    """Write ``record`` into row ``k`` of the columns."""
    records.has[k] = record["has"]
    records.image_ids[k] = record["image_id"]
    records.category_ids[k] = record["category_id"]
    records.scores[k] = record["score"]
    records.boxes[k, 0] = record["x"]
    records.boxes[k, 1] = record["y"]
    records.boxes[k, 2] = record["width"]
    records.boxes[k, 3] = record["height"]
    records.mask_kinds[k] = record["mask_kind"]
    records.mask_starts[k] = record["mask_start"]
    records.mask_stops[k] = record["mask_stop"]
    records.mask_heights[k] = record["mask_height"]
    records.mask_widths[k] = record["mask_width"]
    records.escaped[k] = 1
    records.ids[k] = record["id"]
    records.areas[k] = record["area"]
    records.ignored[k] = record["ignore"]


@kernel
def scan_records(text, p, stop, records, masks):
    """Records of ``text[p:stop]``, separated by commas: (count, numbers, offset, code).

    ``records``, of R rows, take them, without masks where ``masks`` is False; ``numbers`` holds the runs
    and polygons. Spaces and one comma may follow the last record. The offset is that of an UNUSUAL piece.
    """
    # no number is shorter than a byte; what is unused is never touched
    numbers = np.empty(stop - p + 8, np.float64)
    record = np.zeros(1, RECORD)[0]
    n = 0
    count = 0
    p = skip_space(text, p)
    while p < stop:
        if byte_at(text, p) != 123 or count >= len(records.has):
            return count, numbers, p, UNUSUAL
        record["has"] = 0
        record["mask_kind"] = NO_MASK
        record["ignore"] = 0
        start = p
        p = skip_space(text, p + 1)
        while byte_at(text, p) != 125:
            key, p, code = read_key(text, p, stop)
            if code == PARSED:
                if key == SEGMENTATION and masks:
                    n, p, code = read_mask(text, p, stop, record, numbers, n)
                elif key == BBOX:
                    p, code = read_box(text, p, stop, record, numbers, n)
                else:
                    p, code = read_plain_field(text, p, stop, key, record)
            p = skip_space(text, p)
            more = byte_at(text, p) == 44
            if code != PARSED or p >= stop or not (more or byte_at(text, p) == 125):
                return count, numbers, start, UNUSUAL
            if more:
                p = skip_space(text, p + 1)
                if byte_at(text, p) != 34:
                    return count, numbers, start, UNUSUAL
        put_record(records, count, record)
        count += 1
        p = skip_space(text, p + 1)
        if p < stop and byte_at(text, p) == 44:
            p = skip_space(text, p + 1)
    return count, numbers, p, PARSED
