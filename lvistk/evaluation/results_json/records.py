"""One record of a results or annotations file, and what can be wrong with it. Both engines share it, so
nothing here is compiled."""

from pathlib import Path

import numpy as np

from lvistk.errors import UserError
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, MOST_PIXELS, TOO_LARGE

PADDING = 128
"""Zeros that must follow the text of records in its buffer: a block of 64 bytes may be read behind a place
behind its end."""

NO_MASK, RLE_TEXT, RLE_RUNS, POLYGONS = 0, 1, 2, 3
"""``mask_kind``. The mask lies in the text (``RLE_TEXT``) or among the numbers, from ``mask_start`` to
``mask_stop``; runs as they are, polygons as their number, then for each its length and coordinates."""

HAS_IMAGE, HAS_CATEGORY, HAS_SCORE, HAS_BOX, HAS_ID, HAS_AREA = 1, 2, 4, 8, 16, 32

RECORD = np.dtype(
    [
        ("image_id", np.int64),
        ("category_id", np.int64),
        ("id", np.int64),
        ("score", np.float64),
        ("area", np.float64),
        ("x", np.float64),
        ("y", np.float64),
        ("width", np.float64),
        ("height", np.float64),
        ("mask_start", np.int64),
        ("mask_stop", np.int64),
        ("mask_height", np.int64),
        ("mask_width", np.int64),
        ("has", np.uint8),
        ("mask_kind", np.uint8),
        ("ignore", np.uint8),
        ("escaped", np.uint8),
    ]
)
"""One record: box as x, y, width, height in pixels; ``has`` tells which fields were there."""

NO_FIELDS, BAD_SCORE, NO_BOX, NO_SEGMENTATION, BAD_BOX = 3, 4, 5, 6, 7
BAD_LABEL = 8
"""A label that the store has no category for; its own complaint names both."""
COMPLAINTS = {
    BAD_COUNTS: "its RLE does not fill its size",
    BAD_POLYGON: "a polygon with fewer than three points, an odd number of coordinates, or "
    "coordinates far outside",
    TOO_LARGE: f"its image has more than {MOST_PIXELS} pixels, too many for a mask",
    NO_FIELDS: "image_id, category_id or score is missing",
    BAD_SCORE: "its score is not a finite number",
    NO_BOX: "it has no bbox, but the first detection has one",
    NO_SEGMENTATION: "it has no segmentation, but the first detection has one and no bbox",
    BAD_BOX: "its bbox has a number that is not finite",
}
UNKNOWN_IMAGE = (
    "the ground truth has no such image; give the matching ground truth, or set "
    "evaluate.unknown_images=drop to leave such detections out"
)


def bad_detection(path: Path, place: int, record: np.void, complaint: str) -> UserError:
    """The error of the detection at ``place``, named by what it has of its ids."""
    ids = [
        f"{name} {record[name]}"
        for bit, name in ((HAS_IMAGE, "image_id"), (HAS_CATEGORY, "category_id"))
        if record["has"] & bit
    ]
    named = f" ({', '.join(ids)})" if ids else ""
    return UserError(f"{path}: detection {place + 1}{named}: {complaint}")
