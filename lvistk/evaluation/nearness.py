"""The nearest ground truth instances of one detection: of its own category, and of any other in its image."""

import numpy as np

from lvistk.evaluation.pairs import box_iou
from lvistk.jit import kernel
from lvistk.masks.spans import overlap

NEAREST = np.dtype(
    [("same", np.int32), ("same_iou", np.float64), ("other", np.int32), ("other_iou", np.float64)]
)
"""The ground truth instance with the highest IoU among those of the detection's category, and among all
others of its image; NOWHERE and 0 where none overlaps. Instances that the file ignores do not count."""


@kernel
def find_nearest(nearest, k, gt, image, slot, masks, starts, stops, m, area, scratch):
    """Put the nearest instances of detection ``k`` into ``nearest[k]``, by ``masks`` or by boxes.

    Its mask has ``m`` spans and ``area``; its boxes are in ``scratch``.
    """
    one, box = nearest[k], scratch.box
    for s in range(gt.slot_rows[image], gt.slot_rows[image + 1]):
        for g in range(gt.slot_gts[s], gt.slot_gts[s + 1]):
            if gt.ignored[g]:
                continue
            if masks:
                iou = _mask_iou(starts, stops, m, area, scratch.tight, gt, g)
            else:
                iou = box_iou(box[0], box[1], box[2], box[3], gt.boxes, g)
            if s == slot and iou > one["same_iou"]:
                one["same"], one["same_iou"] = g, iou
            elif s != slot and iou > one["other_iou"]:
                one["other"], one["other_iou"] = g, iou


@kernel
def _mask_iou(starts, stops, m, area, tight, gt, g):
    other = gt.mask_boxes[g]
    if min(tight[0] + tight[2], other[0] + other[2]) <= max(tight[0], other[0]):
        return 0.0
    if min(tight[1] + tight[3], other[1] + other[3]) <= max(tight[1], other[1]):
        return 0.0
    a, b = gt.span_rows[g], gt.span_rows[g + 1]
    shared = overlap(starts, stops, 0, m, gt.span_starts, gt.span_stops, a, b)
    return shared / (area + gt.mask_areas[g] - shared)
