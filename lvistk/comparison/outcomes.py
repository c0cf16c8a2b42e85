"""What became of each detection in its image: all that a score of resampled images needs."""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.columns import DROPPED
from lvistk.evaluation.evaluate import Evaluation
from lvistk.evaluation.ranges import AREA_LABELS, IOU_THRESHOLDS
from lvistk.evaluation.ranking import rank
from lvistk.evaluation.scoring import Score, score

ALL_THRESHOLDS = np.uint16((1 << len(IOU_THRESHOLDS)) - 1)


class Outcomes(NamedTuple):
    """What became of D detections, category by category, best score first.

    8 bytes per detection: ``images (D,)`` int32; ``hits``, ``misses (D,)`` uint16, bit t for IoU threshold t.
    Category c has first[c]:first[c + 1]. The G ground truth instances that count lie in ``gt_images``, of
    ``gt_categories``. Where ``limit`` is not 0 only so many of a category count, and all detections are
    here, those too that change nothing; else only those that are a hit or a miss somewhere.
    """

    images: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    first: np.ndarray
    gt_images: np.ndarray
    gt_categories: np.ndarray
    limit: int


def outcomes(evaluation: Evaluation, table: str, *, range_: int = 0, threads: int = 1) -> Outcomes:
    """Outcomes behind a table of scores without a limit per category, in one of its ranges."""
    scored = evaluation.scores[table]
    return _outcomes(evaluation, table, scored, kept=None, limit=0, range_=range_, threads=threads)


def fixed_outcomes(evaluation: Evaluation, table: str, *, limit: int, threads: int) -> Outcomes:
    """Outcomes behind AP-fixed with ``limit`` detections per category.

    The limit holds over all images, so it falls elsewhere in every resample: everything is matched,
    without a limit. It only ever cuts off the end of a category, and a detection's match depends on better
    ones alone, so matches need not be made again where the limit moves.
    """
    scored = score(
        evaluation.detections[table],
        kind=evaluation.scores[table].kind,
        gt=evaluation.gt,
        gt_out=evaluation.scores[table].gt_out,
        per_image=0,
        per_category=0,
        range_count=len(AREA_LABELS),
        threads=threads,
    )
    everything = scored.candidates.categories >= 0
    return _outcomes(
        evaluation, table, scored, kept=everything, limit=limit, range_=0, threads=threads
    )


def _outcomes(
    evaluation: Evaluation,
    table: str,
    scored: Score,
    *,
    kept: np.ndarray | None,
    limit: int,
    range_: int,
    threads: int,
) -> Outcomes:
    columns, gt = evaluation.detections[table].table, evaluation.gt
    counts = scored.candidates.kept
    ranking = rank(
        scored.candidates._replace(kept=counts if kept is None else kept), threads=threads
    )
    rows = ranking.order
    match_rows = scored.matches.rows[rows]
    paired = match_rows >= 0
    out = (columns.box_out if scored.kind == "bbox" else columns.mask_out)[rows]
    slots = columns.slot[rows]
    judged = (slots >= 0) & (out != DROPPED)
    alone = judged & ~paired & ~gt.arrays.slot_open[slots] & (out >> range_ & 1 == 0)
    hits = np.zeros(len(rows), np.uint16)
    misses = np.where(alone, ALL_THRESHOLDS, 0).astype(np.uint16)
    hits[paired] = scored.matches.hits[match_rows[paired], range_]
    misses[paired] = scored.matches.misses[match_rows[paired], range_]
    said = (hits | misses) != 0
    if limit:
        said[:] = True
    before = np.concatenate([[0], np.cumsum(said)])
    counted = scored.gt_out >> range_ & 1 == 0
    return Outcomes(
        images=columns.image[rows][said],
        hits=hits[said],
        misses=misses[said],
        first=before[ranking.first],
        gt_images=gt.gt_images[counted],
        gt_categories=gt.gt_categories[counted].astype(np.int64),
        limit=limit,
    )
