"""One table of scores of detections against the ground truth: limit, order, match, accumulate."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from lvistk.evaluation.columns import DROPPED
from lvistk.evaluation.curves import curves
from lvistk.evaluation.detections import Detections
from lvistk.evaluation.ground_truth.arrays import GroundTruth
from lvistk.evaluation.matching import Matches, match
from lvistk.evaluation.outcome import Table
from lvistk.evaluation.pairs import out_of_area, out_of_ratio
from lvistk.evaluation.ranges import Ranges
from lvistk.evaluation.ranking import Candidates, Ranking, category_sizes, keep_best, rank
from lvistk.jit import kernel

Kind = Literal["segm", "bbox", "boundary"]


@dataclass(frozen=True, eq=False)
class Score(Table):
    """A table of scores with all that it was computed from.

    kind: what was compared
    gt_out: (G,) ranges, as bits, in which a ground truth instance is ignored
    candidates: the detections
    matches: what became of them
    """

    kind: Kind
    gt_out: np.ndarray
    candidates: Candidates
    matches: Matches

    @cached_property
    def ranking(self) -> Ranking:
        """All judged detections in order. Scores do not need it."""
        return rank(self.candidates, threads=1)


def gt_ranges(gt: GroundTruth, ranges: Ranges) -> np.ndarray:
    """(G,) uint16, ranges, as bits, in which a ground truth instance is ignored.

    It is outside of them, or the file says to ignore it.
    """
    arrays = gt.arrays
    ends = ranges.ratio_ends if gt.has_masks else np.zeros(1)
    return _gt_ranges(arrays.areas, arrays.mask_areas, arrays.mask_boxes, arrays.ignored, ends)


@kernel
def _gt_ranges(areas, mask_areas, mask_boxes, ignored, ends):
    bits = np.empty(len(areas), np.uint16)
    for g in range(len(bits)):
        bits[g] = out_of_area(areas[g]) | out_of_ratio(mask_areas[g], mask_boxes[g], ends)
        if ignored[g]:
            bits[g] = 0xFFFF
    return bits


def count_gts(gt: GroundTruth, gt_out: np.ndarray, range_count: int) -> np.ndarray:
    """(C, R) int64, ground truth instances that count, by category and range."""
    counts = np.zeros((len(gt.names), range_count), np.int64)
    categories = gt.gt_categories
    for r in range(range_count):
        inside = (gt_out >> r) & 1 == 0
        counts[:, r] = np.bincount(categories[inside], minlength=len(counts))
    return counts


def score(
    detections: Detections,
    *,
    kind: Kind,
    gt: GroundTruth,
    gt_out: np.ndarray,
    per_image: int,
    per_category: int,
    range_count: int,
    threads: int,
) -> Score:
    """Score detections by masks, boxes or boundaries.

    gt_out: (G,) as of ``gt_ranges``
    per_image, per_category: most detections that count, by score, before anything else is left out; 0 is
        no limit
    range_count: ranges that are scored, the first ones
    threads: to work with
    """
    arrays = gt.arrays
    table = detections.table
    masks = kind != "bbox"
    scores = table.score
    if masks and detections.mask_scores is not None:
        scores = detections.mask_scores
    out = table.mask_out if masks else table.box_out
    slots, images, categories = table.slot, table.image, table.category
    kept = (slots >= 0) & (out != DROPPED)
    if per_image:
        kept &= keep_best(images, scores, limit=per_image, count=len(arrays.image_ids))
    if per_category:
        kept &= keep_best(categories, scores, limit=per_category, count=len(arrays.category_ids))
    candidates = Candidates(
        kept, images, categories, scores, len(arrays.image_ids), len(arrays.category_ids)
    )
    pairs = detections.mask_pairs if masks else detections.box_pairs
    matches = match(
        pairs,
        pairs["boundary" if kind == "boundary" else "iou"],
        kept=kept,
        scores=scores,
        slots=slots,
        out=out,
        slot_open=arrays.slot_open,
        gt_ids=arrays.ids,
        gt_out=gt_out,
        range_count=range_count,
    )
    gt_counts = count_gts(gt, gt_out, range_count)
    precision, recall = curves(
        candidates,
        matches,
        slots=slots,
        out=out,
        slot_open=arrays.slot_open,
        gt_counts=gt_counts,
        threads=threads,
    )
    return Score(
        precision=precision,
        recall=recall,
        gt_counts=gt_counts,
        judged=category_sizes(candidates),
        kind=kind,
        gt_out=gt_out,
        candidates=candidates,
        matches=matches,
    )
