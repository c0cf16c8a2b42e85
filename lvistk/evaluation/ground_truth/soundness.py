"""Whether arrays of a ground truth fit each other, before compiled code reads them without looking."""

import numpy as np

from lvistk.evaluation.ground_truth.arrays import GroundTruth, GroundTruthArrays

DTYPES = {
    "image_ids": np.dtype(np.int64),
    "heights": np.dtype(np.int32),
    "widths": np.dtype(np.int32),
    "category_ids": np.dtype(np.int64),
    "slot_rows": np.dtype(np.int64),
    "slot_categories": np.dtype(np.int32),
    "slot_gts": np.dtype(np.int64),
    "slot_open": np.dtype(np.bool_),
    "ids": np.dtype(np.int64),
    "areas": np.dtype(np.float64),
    "boxes": np.dtype(np.float64),
    "ignored": np.dtype(np.bool_),
    "span_rows": np.dtype(np.int64),
    "span_starts": np.dtype(np.uint32),
    "span_stops": np.dtype(np.uint32),
    "mask_areas": np.dtype(np.int64),
    "mask_boxes": np.dtype(np.int32),
    "image_counts": np.dtype(np.int64),
}
"""Types of the arrays, by field of ``GroundTruthArrays``, and of ``GroundTruth.image_counts``."""


def are_sound(gt: GroundTruth) -> bool:
    """Whether shapes, rows and offsets of a ground truth agree with each other and with its images."""
    arrays = gt.arrays
    return _shapes_agree(gt) and _rows_agree(arrays) and _spans_agree(arrays)


def _shapes_agree(gt: GroundTruth) -> bool:
    a = gt.arrays
    images, categories = len(a.image_ids), len(a.category_ids)
    slots, instances = len(a.slot_categories), len(a.ids)
    expected = {
        "image_ids": (images,),
        "heights": (images,),
        "widths": (images,),
        "category_ids": (categories,),
        "slot_rows": (images + 1,),
        "slot_categories": (slots,),
        "slot_gts": (slots + 1,),
        "slot_open": (slots,),
        "ids": (instances,),
        "areas": (instances,),
        "boxes": (instances, 4),
        "ignored": (instances,),
        "span_rows": (instances + 1,),
        "span_starts": (len(a.span_starts),),
        "span_stops": (len(a.span_starts),),
        "mask_areas": (instances,),
        "mask_boxes": (instances, 4),
    }
    of_categories = (len(gt.names), len(gt.frequency), len(gt.image_counts))
    return all(getattr(a, name).shape == shape for name, shape in expected.items()) and all(
        count == categories for count in of_categories
    )


def _rows_agree(a: GroundTruthArrays) -> bool:
    """Offsets go from 0 to the end of what they point into; categories exist; ids ascend."""
    offsets = (
        (a.slot_rows, len(a.slot_categories)),
        (a.slot_gts, len(a.ids)),
        (a.span_rows, len(a.span_starts)),
    )
    sound = all(
        rows[0] == 0 and rows[-1] == end and bool(np.all(rows[1:] >= rows[:-1]))
        for rows, end in offsets
    )
    categories = a.slot_categories
    known = bool(np.all((categories >= 0) & (categories < len(a.category_ids))))
    ascending = all(bool(np.all(ids[1:] > ids[:-1])) for ids in (a.image_ids, a.category_ids))
    return sound and known and ascending


def _spans_agree(a: GroundTruthArrays) -> bool:
    """Spans are filled, ascend within their mask, and end inside their image."""
    if not len(a.span_starts):
        return True
    first_of_mask = np.zeros(len(a.span_starts) + 1, bool)
    first_of_mask[a.span_rows] = True
    follows = (a.span_starts[1:] >= a.span_stops[:-1]) | first_of_mask[1:-1]
    slots = np.repeat(np.arange(len(a.slot_categories)), np.diff(a.slot_gts))
    images = np.repeat(np.arange(len(a.image_ids)), np.diff(a.slot_rows))[slots]
    pixels = a.heights.astype(np.int64)[images] * a.widths[images]
    filled = np.flatnonzero(np.diff(a.span_rows))
    ends = a.span_stops[a.span_rows[filled + 1] - 1]
    return bool(
        np.all(a.span_starts < a.span_stops) and np.all(follows) and np.all(ends <= pixels[filled])
    )
