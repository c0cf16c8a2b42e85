"""A block of a detection store against the ground truth: ``measure``, on columns.

Where the store tells the area and the tight box of every mask, only masks that can have an IoU of 0.5 with
a ground truth instance are decoded, or touched at all.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.columns import NOWHERE, Columns, put
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.measure import Options, enter_image
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
from lvistk.evaluation.results_json.record_mask import new_scratch, spans_of_rle
from lvistk.evaluation.results_json.records import BAD_BOX, BAD_LABEL, BAD_SCORE
from lvistk.jit import kernel
from lvistk.masks.codes import OK
from lvistk.masks.spans import box_of_spans


class Block(NamedTuple):
    """M images of a shard with D detections.

    A column that is not there has no rows.
    """

    images: np.ndarray
    """(M,) int32 rows in the ground truth, NOWHERE where it has none"""
    heights: np.ndarray
    """(M,) int32, as the store has them"""
    widths: np.ndarray
    rows: np.ndarray
    """(M + 1,) int64: image m has the detections rows[m]:rows[m + 1]"""
    labels: np.ndarray
    """(D,) int32"""
    scores: np.ndarray
    """(D,) float32"""
    boxes: np.ndarray
    """(D, 4) float32 xyxy"""
    mask_areas: np.ndarray
    """(D,) int32"""
    mask_boxes: np.ndarray
    """(D, 4) int32 xyxy"""
    offsets: np.ndarray
    """(D + 1,) int64: the RLE of detection d is text[offsets[d]:offsets[d + 1]]"""
    text: np.ndarray
    """(bytes,) uint8, with PADDING more that may be anything"""


class Found(NamedTuple):
    """Pairs of masks and of boxes; their detections are numbered from the block's ``first`` on."""

    mask_pairs: np.ndarray
    box_pairs: np.ndarray
    foreign_sizes: int
    """Masks whose size is not their image's: they match nothing, as in lvis-api."""
    code: int
    place: int
    """The detection that ``code`` complains of."""


def measure_block(
    block: Block,
    columns: Columns,
    first: int,
    *,
    categories: np.ndarray,
    gt: GroundTruthArrays,
    boundary: BoundaryGroundTruth,
    ranges: Ranges,
    options: Options,
) -> Found:
    """Fill ``columns`` (D,) and find the pairs.

    ``categories (C,)`` int32 are the rows of the labels in the ground truth, NOWHERE where it has none.
    """
    ends = ranges.ratio_ends
    return Found(*_measure_block(block, columns, first, categories, gt, boundary, ends, options))


@kernel
def _extent_of(block, k, size, scratch):
    """Decode mask ``k`` into the scratch: (number of spans, area, code); its box into ``tight``."""
    height, width = size
    first, last = block.offsets[k], block.offsets[k + 1]
    m, area, _, code = spans_of_rle(block.text, first, last, False, height * width, scratch)
    if code == OK:
        box_of_spans(scratch.starts, scratch.stops, m, height, scratch.tight)
    return m, area, code


@kernel
def _told_extent(block, k, tight):
    """Area of mask ``k`` by its columns; its box into ``tight``."""
    tight[0], tight[1] = block.mask_boxes[k, 0], block.mask_boxes[k, 1]
    tight[2] = block.mask_boxes[k, 2] - tight[0]
    tight[3] = block.mask_boxes[k, 3] - tight[1]
    return np.int64(block.mask_areas[k])


@kernel
def _box_of(boxes, k):
    """x, y, width, height of box ``k``, zeros where no boxes are read."""
    if len(boxes) == 0:
        return 0.0, 0.0, 0.0, 0.0
    x, y = np.float64(boxes[k, 0]), np.float64(boxes[k, 1])
    return x, y, np.float64(boxes[k, 2]) - x, np.float64(boxes[k, 3]) - y


@kernel
def _longest(offsets):
    longest = 0
    for k in range(len(offsets) - 1):
        longest = max(longest, offsets[k + 1] - offsets[k])
    return longest


@kernel
def _measure_block(block, columns, first_row, categories, gt, boundary, ratio_ends, options):
    mask_pairs = np.empty(256, PAIR)
    box_pairs = np.empty(256, PAIR)
    mask_count, box_count, foreign_sizes = 0, 0, 0
    slots = np.full(len(gt.category_ids), NOWHERE, np.int32)
    scratch = new_scratch(_longest(block.offsets))
    tight = scratch.tight
    known = len(block.mask_areas) > 0
    image = NOWHERE
    for i in range(len(block.images)):
        enter_image(slots, gt, image, block.images[i])
        image = block.images[i]
        size = np.int64(block.heights[i]), np.int64(block.widths[i])
        foreign = image >= 0 and (size[0] != gt.heights[image] or size[1] != gt.widths[image])
        for k in range(block.rows[i] - block.rows[0], block.rows[i + 1] - block.rows[0]):
            label = block.labels[k]
            if label < 0 or label >= len(categories):
                return mask_pairs, box_pairs, 0, BAD_LABEL, k
            score = np.float64(block.scores[k])
            if not np.isfinite(score):
                return mask_pairs, box_pairs, 0, BAD_SCORE, k
            x, y, width, height = _box_of(block.boxes, k)
            if not np.isfinite(x + y + width + height):
                return mask_pairs, box_pairs, 0, BAD_BOX, k
            category = categories[label]
            slot = slots[category] if category >= 0 else NOWHERE
            put(columns, k, score, image, category, slot)
            if slot < 0:
                continue
            first, last = gt.slot_gts[slot], gt.slot_gts[slot + 1]
            m, mask_area, ratio_out = 0, 0, 0
            if options.masks:
                if known:
                    mask_area = _told_extent(block, k, tight)
                else:
                    m, mask_area, code = _extent_of(block, k, size, scratch)
                    if code != OK:
                        return mask_pairs, box_pairs, 0, code, k
                ratio_out = out_of_ratio(mask_area, tight, ratio_ends)
                area = width * height if options.mask_area_is_box else float(mask_area)
                foreign_sizes += foreign
                if 0 < area < np.inf:
                    columns.mask_out[k] = out_of_area(area) | ratio_out
                    near = False
                    for g in range(first, last):
                        other = gt.mask_areas[g]
                        near |= may_reach_half(mask_area, tight, other, gt.mask_boxes, g)
                    if near and not foreign:
                        if known:
                            m, mask_area, code = _extent_of(block, k, size, scratch)
                            if code != OK:
                                return mask_pairs, box_pairs, 0, code, k
                        mask_pairs, mask_count = add_mask_pairs(
                            mask_pairs, mask_count, first_row + k, scratch.starts, scratch.stops,
                            m, mask_area, tight, first, last,
                            gt, boundary, image, options.boundary,
                        )  # fmt: skip
            area = width * height if options.box_area_is_box else float(mask_area)
            if options.boxes and 0 < area < np.inf:
                columns.box_out[k] = out_of_area(area) | ratio_out
                for g in range(first, last):
                    iou = box_iou(x, y, width, height, gt.boxes, g)
                    if iou >= 0.5:
                        box_pairs, box_count = add_pair(
                            box_pairs, box_count, first_row + k, g, iou, iou
                        )
    return mask_pairs[:mask_count], box_pairs[:box_count], foreign_sizes, OK, 0
