"""Boundary AP, AP-fixed and AP by area ratio, each from its definition on top of the official code.

Boundary IoU (arXiv 2103.16562): a mask's boundary is the mask without its erosion by 3 x 3, d times,
d = 2% of the diagonal, in an image with a border of zeros; the IoU that counts is the smaller of both.
AP-fixed (arXiv 2102.01066): the 10,000 best detections of each category, no limit per image.
"""

import itertools
import json
import logging
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from lvis import LVIS, LVISEval, LVISResults
from pycocotools import mask as coco_mask

from tests.reference.official_lvis import numpy_float


def boundary_of(mask: np.ndarray) -> np.ndarray:
    """Boundary (H, W) uint8 of a mask (H, W) uint8."""
    height, width = mask.shape
    d = max(int(round(0.02 * np.sqrt(height**2 + width**2))), 1)  # noqa: RUF046  # as published
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=d)
    return mask - eroded[1:-1, 1:-1]


class BoundaryEval(LVISEval):
    def compute_iou(self, img_id: int, cat_id: int):  # the official signature
        ious = super().compute_iou(img_id, cat_id)
        if len(ious) == 0:
            return ious
        gt, dt = self._get_gt_dt(img_id, cat_id)
        dt = [dt[i] for i in np.argsort([-d["score"] for d in dt], kind="mergesort")]
        sides = [[self._boundary(a["segmentation"]) for a in some] for some in (dt, gt)]
        return np.minimum(ious, coco_mask.iou(*sides, [0] * len(gt)))

    @staticmethod
    def _boundary(rle: dict) -> dict:
        return coco_mask.encode(np.asfortranarray(boundary_of(coco_mask.decode(rle))))


class RatioEval(LVISEval):
    """Area ranges of mask area over box area; the last bucket's upper end is included."""

    def __init__(self, *arguments: object, edges: tuple[float, ...]) -> None:
        super().__init__(*arguments)
        ends = [0.0, *edges, 1.0]
        self.params.area_rng = [
            [low, high if high == 1 else np.nextafter(high, 0)]
            for low, high in itertools.pairwise(ends)
        ]
        self.params.area_rng_lbl = [str(low) for low in ends[:-1]]

    def _prepare(self) -> None:
        super()._prepare()
        for group in (self._gts, self._dts):
            for some in group.values():
                for one in some:
                    box = coco_mask.toBbox(one["segmentation"])
                    one["area"] = float(coco_mask.area(one["segmentation"])) / max(
                        box[2] * box[3], 1
                    )


def _finish(evaluation: LVISEval) -> LVISEval:
    logging.disable(logging.WARNING)
    try:
        with numpy_float():
            evaluation.evaluate()
            evaluation.accumulate()
    finally:
        logging.disable(logging.NOTSET)
    return evaluation


def boundary(gt_file: Path, results: Path) -> LVISEval:
    gt = LVIS(str(gt_file))
    return _finish(BoundaryEval(gt, LVISResults(gt, str(results)), "segm"))


def by_ratio(gt_file: Path, results: Path, edges: tuple[float, ...]) -> LVISEval:
    gt = LVIS(str(gt_file))
    return _finish(RatioEval(gt, LVISResults(gt, str(results)), "segm", edges=edges))


def fixed(gt_file: Path, results: Path, iou_type: str, *, limit: int) -> LVISEval:
    by_category = defaultdict(list)
    for one in json.loads(results.read_text()):
        by_category[one["category_id"]].append(one)
    kept = []
    for some in by_category.values():
        kept += sorted(some, key=lambda one: one["score"], reverse=True)[:limit]
    gt = LVIS(str(gt_file))
    capped = results.with_name("capped.json")
    capped.write_text(json.dumps(kept))
    return _finish(LVISEval(gt, LVISResults(gt, str(capped), max_dets=-1), iou_type))
