"""Detections against ground truth instances: which pairs of one image and category overlap by
half or more.

The only pass over the detections. The federated test comes first; a mask is decoded only where it
survives that, an IoU computed only where boxes and areas allow 0.5, for below the lowest threshold nothing
matters. What remains of a detection are 24 bytes, and of a mask nothing.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.columns import NOWHERE, Columns, columns_for, put
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.pairs import (
    PAIR,
    BoundaryGroundTruth,
    add_mask_pairs,
    add_pair,
    box_iou,
    may_reach_half,
    out_of_area,
    out_of_ratio,
)
from lvistk.evaluation.ranges import Ranges
from lvistk.evaluation.results_json.record_mask import mask_of, scratch_for
from lvistk.evaluation.results_json.records import (
    BAD_BOX,
    BAD_SCORE,
    HAS_BOX,
    HAS_CATEGORY,
    HAS_IMAGE,
    HAS_SCORE,
    NO_BOX,
    NO_FIELDS,
    NO_MASK,
    NO_SEGMENTATION,
    RLE_RUNS,
    RLE_TEXT,
)
from lvistk.jit import kernel
from lvistk.masks.codes import OK


class Options(NamedTuple):
    """What to measure. ``masks``, ``boxes``: the IoUs wanted. ``boxed``: the first detection of the
    input has a box, so all must. ``mask_area_is_box``, ``box_area_is_box``: judge by box area."""

    masks: bool
    boxes: bool
    boundary: bool
    boxed: bool
    mask_area_is_box: bool
    box_area_is_box: bool


class Measured(NamedTuple):
    """What ``measure`` gives for R records: the detections, pairs of masks and of boxes, and counts."""

    detections: Columns
    mask_pairs: np.ndarray
    box_pairs: np.ndarray
    foreign_sizes: int
    """Masks whose size is not their image's: they match nothing, as in lvis-api."""
    code: int
    place: int
    """The record that ``code`` complains of."""


def measure(
    text: np.ndarray,
    records: np.ndarray,
    numbers: np.ndarray,
    *,
    gt: GroundTruthArrays,
    boundary: BoundaryGroundTruth,
    ranges: Ranges,
    options: Options,
) -> Measured:
    """Measure R records; ``text`` and ``numbers`` hold their masks."""
    ends = ranges.ratio_ends
    return Measured(*_measure(text, records, numbers, gt, boundary, ends, options))


@kernel
def find_row(ids, wanted):
    """Row of ``wanted`` in ascending ``ids``, or NOWHERE."""
    low = 0
    high = len(ids)
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(ids) and ids[low] == wanted else NOWHERE


@kernel
def category_row(ids, wanted):
    if 0 < wanted <= len(ids) and ids[wanted - 1] == wanted:
        return wanted - 1
    return find_row(ids, wanted)


@kernel
def _check(record, options):
    needed = HAS_IMAGE | HAS_CATEGORY | HAS_SCORE
    if record["has"] & needed != needed:
        return NO_FIELDS
    if not np.isfinite(record["score"]):
        return BAD_SCORE
    if options.boxed and record["has"] & HAS_BOX == 0:
        return NO_BOX
    if record["has"] & HAS_BOX and not np.isfinite(
        record["x"] + record["y"] + record["width"] + record["height"]
    ):
        return BAD_BOX
    if not options.boxed and record["mask_kind"] == NO_MASK:
        return NO_SEGMENTATION
    return OK


@kernel
def enter_image(slots, gt, left, entered):
    """Make ``slots (C,)`` those of image ``entered`` instead of ``left`` (rows, or NOWHERE)."""
    if left >= 0:
        for s in range(gt.slot_rows[left], gt.slot_rows[left + 1]):
            slots[gt.slot_categories[s]] = NOWHERE
    if entered >= 0:
        for s in range(gt.slot_rows[entered], gt.slot_rows[entered + 1]):
            slots[gt.slot_categories[s]] = s


@kernel
def _measure(text, records, numbers, gt, boundary, ratio_ends, options):
    detections = columns_for(len(records))
    mask_pairs = np.empty(256, PAIR)
    box_pairs = np.empty(256, PAIR)
    mask_count, box_count, foreign_sizes = 0, 0, 0
    slots = np.full(len(gt.category_ids), NOWHERE, np.int32)
    scratch = scratch_for(records)
    tight, box = scratch.tight, scratch.box
    image = NOWHERE
    image_id = 0
    for k in range(len(records)):
        record = records[k]
        code = _check(record, options)
        if code != OK:
            return detections, mask_pairs, box_pairs, 0, code, k
        if k == 0 or record["image_id"] != image_id:
            image_id = record["image_id"]
            entered = find_row(gt.image_ids, image_id)
            enter_image(slots, gt, image, entered)
            image = entered
        category = category_row(gt.category_ids, record["category_id"])
        slot = slots[category] if category >= 0 and image >= 0 else NOWHERE
        put(detections, k, record["score"], image, category, slot)
        if slot < 0:
            continue
        first, last = gt.slot_gts[slot], gt.slot_gts[slot + 1]
        height, width = np.int64(gt.heights[image]), np.int64(gt.widths[image])
        box[0], box[1] = record["x"], record["y"]
        box[2], box[3] = record["width"], record["height"]
        starts, stops, m, mask_area, ratio_out = scratch.starts, scratch.stops, 0, 0, 0
        if options.masks or not options.boxed:
            starts, stops, m, mask_area, code = mask_of(
                text, record, numbers, height, width, options.boxed, scratch
            )
            if code != OK:
                return detections, mask_pairs, box_pairs, 0, code, k
            ratio_out = out_of_ratio(mask_area, tight, ratio_ends)
        box_area = box[2] * box[3]
        if options.masks:
            area = box_area if options.mask_area_is_box else float(mask_area)
            rle = record["mask_kind"] == RLE_TEXT or record["mask_kind"] == RLE_RUNS
            if rle and (record["mask_height"] != height or record["mask_width"] != width):
                foreign_sizes += 1
                m = 0
            if 0 < area < np.inf:
                detections.mask_out[k] = out_of_area(area) | ratio_out
                near = False
                for g in range(first, last):
                    other = gt.mask_areas[g]
                    near |= may_reach_half(mask_area, tight, other, gt.mask_boxes, g)
                if m > 0 and near:
                    mask_pairs, mask_count = add_mask_pairs(
                        mask_pairs, mask_count, k, starts, stops, m, mask_area, tight, first, last,
                        gt, boundary, image, options.boundary,
                    )  # fmt: skip
        area = box_area if options.box_area_is_box else float(mask_area)
        if options.boxes and 0 < area < np.inf:
            detections.box_out[k] = out_of_area(area) | ratio_out
            for g in range(first, last):
                iou = box_iou(box[0], box[1], box[2], box[3], gt.boxes, g)
                if iou >= 0.5:
                    box_pairs, box_count = add_pair(box_pairs, box_count, k, g, iou, iou)
    return detections, mask_pairs[:mask_count], box_pairs[:box_count], foreign_sizes, OK, 0
