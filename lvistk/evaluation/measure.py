"""Detections against ground truth instances: which pairs of one image and category overlap by half or more.

The only pass over the detections, whatever they come from. The federated test comes first; a mask is decoded
only where it survives that, an IoU computed only where boxes and areas allow 0.5, for below the lowest
threshold nothing matters. Where the input tells the area and the tight box of every mask, only masks that can
have an IoU of 0.5 are decoded, or touched at all. What remains of a detection are 24 bytes, and of a mask
nothing. A report asks for the nearest instances as well, however far they are.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.block_mask import form_of, mask_of, scratch_for
from lvistk.evaluation.blocks import (
    HAS_BOX,
    HAS_CATEGORY,
    HAS_IMAGE,
    HAS_SCORE,
    NO_MASK,
    RLE_RUNS,
    RLE_TEXT,
    Block,
)
from lvistk.evaluation.columns import DROPPED, KINDS, NOWHERE, Columns
from lvistk.evaluation.complaints import BAD_BOX, BAD_SCORE, NO_BOX, NO_FIELDS, NO_SEGMENTATION
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.nearness import NEAREST, find_nearest
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
from lvistk.jit import kernel
from lvistk.masks.codes import OK


class Options(NamedTuple):
    """What to measure."""

    masks: bool
    """mask IoUs"""
    boxes: bool
    """box IoUs"""
    boundary: bool
    """boundary IoUs beside the masks'"""
    boxed: bool
    """the first detection of the input has a box, so all must"""
    mask_area_is_box: bool
    """masks are judged by the area of their box"""
    box_area_is_box: bool
    """boxes are judged by their own area, not the mask's"""
    nearest: bool = False
    """the nearest ground truth instances too, by masks or by boxes"""


class Measured(NamedTuple):
    """What ``measure`` gives for a block of D detections."""

    detections: Columns
    """(D,) each"""
    mask_scores: np.ndarray
    """(D,) float64, what masks are ranked by where that is not the score; else (0,)"""
    mask_pairs: np.ndarray
    """(pairs,) of PAIR, detections numbered within the block"""
    box_pairs: np.ndarray
    """(pairs,) of PAIR"""
    nearest: np.ndarray
    """(D,) of NEAREST where they are wanted, else (0,)"""
    foreign_sizes: int
    """masks whose size is not their image's: they match nothing, as in lvis-api"""
    code: int
    """what is wrong with detection ``row``, 0 for nothing; then the rest means nothing"""
    row: int


def measure(
    block: Block,
    *,
    gt: GroundTruthArrays,
    boundary: BoundaryGroundTruth,
    ranges: Ranges,
    options: Options,
) -> Measured:
    """Measure the detections of a block."""
    count = len(block.has)
    columns = Columns(*(np.empty(count, kind) for kind in KINDS))
    nearest = np.empty(count if options.nearest else 0, NEAREST)
    nearest["same"] = nearest["other"] = NOWHERE
    nearest["same_iou"] = nearest["other_iou"] = 0
    mask_pairs, box_pairs, foreign_sizes, code, row = _measure(
        block, columns, nearest, gt, boundary, ranges.ratio_ends, options
    )
    return Measured(
        columns,
        block.mask_scores if options.masks else block.mask_scores[:0],
        mask_pairs,
        box_pairs,
        nearest,
        foreign_sizes,
        code,
        row,
    )


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
    """``find_row``, at once where ids are 1 to C."""
    if 0 < wanted <= len(ids) and ids[wanted - 1] == wanted:
        return wanted - 1
    return find_row(ids, wanted)


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
def _check(has, score, mask_kind, boxes, k, box, boxed):
    """What is wrong with the fields of row ``k``; its box into ``box``."""
    needed = HAS_IMAGE | HAS_CATEGORY | HAS_SCORE
    if has & needed != needed:
        return NO_FIELDS
    if not np.isfinite(score):
        return BAD_SCORE
    if boxed and has & HAS_BOX == 0:
        return NO_BOX
    for j in range(4):
        box[j] = boxes[k, j] if len(boxes) > 0 else 0.0
    if has & HAS_BOX and not np.isfinite(box[0] + box[1] + box[2] + box[3]):
        return BAD_BOX
    if not boxed and mask_kind == NO_MASK:
        return NO_SEGMENTATION
    return OK


@kernel
def _told_area(mask_areas, mask_boxes, k, tight):
    """Area of the mask of row ``k`` by the input's columns; its box into ``tight``."""
    tight[0], tight[1] = mask_boxes[k, 0], mask_boxes[k, 1]
    tight[2] = mask_boxes[k, 2] - tight[0]
    tight[3] = mask_boxes[k, 3] - tight[1]
    return np.int64(mask_areas[k])


@kernel
def _may_match(mask_area, tight, gt_areas, gt_boxes, first, last):
    near = False
    for g in range(first, last):
        near |= may_reach_half(mask_area, tight, gt_areas[g], gt_boxes, g)
    return near


@kernel
def _is_foreign(block, k, height, width):
    """Whether the RLE of row ``k`` has another size than its image."""
    kind = block.mask_kinds[k]
    return kind in (RLE_TEXT, RLE_RUNS) and (
        block.mask_heights[k] != height or block.mask_widths[k] != width
    )


@kernel
def _add_box_pairs(pairs, count, k, box, gt_boxes, first, last):
    for g in range(first, last):
        iou = box_iou(box[0], box[1], box[2], box[3], gt_boxes, g)
        if iou >= 0.5:
            pairs, count = add_pair(pairs, count, k, g, iou, iou)
    return pairs, count


@kernel
def _measure(block, columns, nearest, gt, boundary, ratio_ends, options):
    mask_pairs = np.empty(256, PAIR)
    box_pairs = np.empty(256, PAIR)
    mask_count, box_count, foreign_sizes = 0, 0, 0
    slots = np.full(len(gt.category_ids), NOWHERE, np.int32)
    scratch = scratch_for(block)
    tight, box = scratch.tight, scratch.box
    text, numbers = block.text, block.numbers
    told = len(block.mask_areas) > 0 and not options.nearest
    image, image_id = NOWHERE, np.int64(0)
    for k in range(len(block.has)):
        code = _check(
            block.has[k], block.scores[k], block.mask_kinds[k], block.boxes, k, box, options.boxed
        )
        if code != OK:
            return mask_pairs[:0], box_pairs[:0], 0, code, k
        if k == 0 or block.image_ids[k] != image_id:
            image_id = block.image_ids[k]
            entered = find_row(gt.image_ids, image_id)
            enter_image(slots, gt, image, entered)
            image = entered
        category = category_row(gt.category_ids, block.category_ids[k])
        slot = slots[category] if category >= 0 and image >= 0 else NOWHERE
        columns.score[k], columns.slot[k] = block.scores[k], slot
        columns.image[k], columns.category[k] = image, category
        columns.mask_out[k] = columns.box_out[k] = DROPPED
        if slot < 0:
            continue
        first, last = gt.slot_gts[slot], gt.slot_gts[slot + 1]
        height, width = np.int64(gt.heights[image]), np.int64(gt.widths[image])
        starts, stops, m, mask_area, ratio_out = scratch.starts, scratch.stops, 0, 0, 0
        foreign = False
        if options.masks or not options.boxed:
            if told:
                mask_area = _told_area(block.mask_areas, block.mask_boxes, k, tight)
            else:
                starts, stops, m, mask_area, code = mask_of(
                    text, numbers, form_of(block, k, options.boxed), height, width, scratch
                )
            if code != OK and options.nearest:
                continue
            if code != OK:
                return mask_pairs[:0], box_pairs[:0], 0, code, k
            ratio_out = out_of_ratio(mask_area, tight, ratio_ends)
            foreign = _is_foreign(block, k, height, width)
        if options.nearest:
            if not (options.masks and foreign):
                find_nearest(
                    nearest, k, gt, image, slot, options.masks, starts, stops, m, mask_area, scratch
                )
            continue
        box_area = box[2] * box[3]
        if options.masks:
            area = box_area if options.mask_area_is_box else float(mask_area)
            foreign_sizes += foreign
            if 0 < area < np.inf:
                columns.mask_out[k] = out_of_area(area) | ratio_out
                if not foreign and _may_match(
                    mask_area, tight, gt.mask_areas, gt.mask_boxes, first, last
                ):
                    if told:
                        starts, stops, m, mask_area, code = mask_of(
                            text, numbers, form_of(block, k, options.boxed), height, width, scratch
                        )
                        if code != OK:
                            return mask_pairs[:0], box_pairs[:0], 0, code, k
                    mask_pairs, mask_count = add_mask_pairs(
                        mask_pairs, mask_count, k, starts, stops, m, mask_area, tight, first, last,
                        gt, boundary, image, options.boundary,
                    )  # fmt: skip
        area = box_area if options.box_area_is_box else float(mask_area)
        if options.boxes and 0 < area < np.inf:
            columns.box_out[k] = out_of_area(area) | ratio_out
            box_pairs, box_count = _add_box_pairs(
                box_pairs, box_count, k, box, gt.boxes, first, last
            )
    return mask_pairs[:mask_count], box_pairs[:box_count], foreign_sizes, OK, 0
