"""Pairs of a detection and a ground truth instance of its slot, and the ranges a detection is outside of."""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.ranges import AREA_RANGES
from lvistk.jit import kernel
from lvistk.masks.boundary import boundary_spans
from lvistk.masks.spans import grown, overlap

PAIR = np.dtype(
    [("detection", np.int32), ("gt", np.int32), ("iou", np.float64), ("boundary", np.float64)]
)
"""A detection and a ground truth instance of its slot with an IoU of at least 0.5. ``boundary`` is the
smaller of mask IoU and boundary IoU, as boundary AP is defined."""


class BoundaryGroundTruth(NamedTuple):
    """Boundaries of G ground truth instances as spans.

    distance: (I,) width of the boundary in pixels, for each image
    rows, starts, stops, areas: as ``span_rows``, ``span_starts``, ... of ``GroundTruthArrays``
    """

    distance: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    areas: np.ndarray


@kernel
def out_of_area(area):
    """Area ranges, as bits, that ``area`` is outside of."""
    bits = 0
    for k in range(len(AREA_RANGES)):
        if area < AREA_RANGES[k, 0] or area > AREA_RANGES[k, 1]:
            bits |= 1 << k
    return bits


@kernel
def out_of_ratio(mask_area, box, ends):
    """Ratio ranges, as bits, that a mask of ``mask_area`` in the tight ``box`` is outside of."""
    bits = 0
    ratio = mask_area / max(np.float64(box[2]) * np.float64(box[3]), 1.0)
    for k in range(len(ends) - 1):
        last = k == len(ends) - 2
        if ratio < ends[k] or (ratio >= ends[k + 1] and not last):
            bits |= 1 << (len(AREA_RANGES) + k)
    return bits


@kernel
def box_iou(x, y, width, height, boxes, g):
    """IoU of two boxes, the second ``boxes[g]``, with the operations of pycocotools' ``bbIou``."""
    w = min(width + x, boxes[g, 2] + boxes[g, 0]) - max(x, boxes[g, 0])
    if w <= 0:
        return 0.0
    h = min(height + y, boxes[g, 3] + boxes[g, 1]) - max(y, boxes[g, 1])
    if h <= 0:
        return 0.0
    shared = w * h
    return shared / (width * height + boxes[g, 2] * boxes[g, 3] - shared)


@kernel
def may_reach_half(area, box, other_area, boxes, g):
    """Whether masks of these areas in the tight boxes ``box`` and ``boxes[g]`` can have an IoU of 0.5."""
    w = min(box[0] + box[2], boxes[g, 0] + boxes[g, 2]) - max(box[0], boxes[g, 0])
    h = min(box[1] + box[3], boxes[g, 1] + boxes[g, 3]) - max(box[1], boxes[g, 1])
    if w <= 0 or h <= 0:
        return False
    most = min(np.int64(w) * np.int64(h), min(area, np.int64(other_area)))
    return 3 * most >= area + other_area


@kernel
def add_pair(pairs, n, detection, gt, iou, boundary):
    if n >= len(pairs):
        pairs = grown(pairs, n + 1)
    pairs[n]["detection"] = detection
    pairs[n]["gt"] = gt
    pairs[n]["iou"] = iou
    pairs[n]["boundary"] = boundary
    return pairs, n + 1


@kernel
def add_mask_pairs(
    pairs, n, k, starts, stops, m, area, tight, first, last, gt, boundary, image, with_boundary
):
    """Append the pairs of one mask with the ground truth instances first:last; returns (pairs, n).

    pairs, n: a growing array and its length
    k: number of the detection
    starts, stops, m: spans of the mask and their number
    area, tight: of the mask
    first, last: ground truth instances of the slot
    gt: ``GroundTruthArrays``
    boundary, image, with_boundary: for the boundary IoU, if it is asked for
    """
    edge_starts, edge_stops, edges, edge_area = starts, stops, -1, 0
    for g in range(first, last):
        if not may_reach_half(area, tight, gt.mask_areas[g], gt.mask_boxes, g):
            continue
        a, b = gt.span_rows[g], gt.span_rows[g + 1]
        shared = overlap(starts, stops, 0, m, gt.span_starts, gt.span_stops, a, b)
        union = area + gt.mask_areas[g] - shared
        if 2 * shared < union:
            continue
        iou = shared / union
        edge_iou = iou
        if with_boundary:
            if edges < 0:
                height = np.int64(gt.heights[image])
                distance = boundary.distance[image]
                edge_starts, edge_stops, edges, edge_area = boundary_spans(
                    starts, stops, m, height, tight, distance
                )
            a, b = boundary.rows[g], boundary.rows[g + 1]
            shared = overlap(
                edge_starts, edge_stops, 0, edges, boundary.starts, boundary.stops, a, b
            )
            edge_iou = min(iou, shared / (edge_area + boundary.areas[g] - shared))
        pairs, n = add_pair(pairs, n, k, g, iou, edge_iou)
    return pairs, n
