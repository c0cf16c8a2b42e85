"""Greedy matching inside each (image, category), for all ranges and the ten IoU thresholds at once.

Only detections with a pair (an IoU of at least 0.5 with a ground truth instance of their slot)
are matched here; all
others are false positives, or ignored where their category is not exhaustively annotated or their area is
out of range.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.ranges import IOU_THRESHOLDS
from lvistk.jit import kernel

THRESHOLDS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)


class Matches(NamedTuple):
    """What became of M detections with a pair; bit t of a uint16 is IoU threshold t."""

    rows: np.ndarray
    """(N,) int32: row in the fields below of each of the N detections, -1 for one without a pair"""
    hits: np.ndarray
    """(M, R) uint16: true positive, by range"""
    misses: np.ndarray
    """(M, R) uint16: false positive, by range; neither bit: ignored"""
    gts: np.ndarray
    """(M,) int32: the ground truth it matches at IoU 0.5 in range all, or -1"""
    found: np.ndarray
    """(G,) uint16: thresholds at which a ground truth instance is matched, in range all"""


def match(
    pairs: np.ndarray,
    ious: np.ndarray,
    *,
    kept: np.ndarray,
    scores: np.ndarray,
    slots: np.ndarray,
    out: np.ndarray,
    slot_open: np.ndarray,
    gt_ids: np.ndarray,
    gt_out: np.ndarray,
    range_count: int,
) -> Matches:
    """Match ``pairs`` (P,) whose IoU is ``ious`` (P,), of the detections ``kept`` (N,).

    ``pairs`` stand in the order of detections, then ground truth instances. ``gt_out (G,)`` and
    ``out (N,)`` are
    the ranges (bits) in which a ground truth instance is ignored and a detection is outside.
    """
    return Matches(
        *_match(
            pairs["detection"],
            pairs["gt"],
            ious,
            kept,
            scores,
            slots,
            out,
            slot_open,
            gt_ids,
            gt_out,
            range_count,
        )
    )


@kernel
def _chains(detections, kept, slots, slot_count):
    """Pairs of kept detections by slot, in the order of the input: (pair numbers, first)."""
    first = np.zeros(slot_count + 2, np.int64)
    for p in range(len(detections)):
        if kept[detections[p]]:
            first[slots[detections[p]] + 2] += 1
    for s in range(2, slot_count + 2):
        first[s] += first[s - 1]
    numbers = np.empty(first[slot_count + 1], np.int64)
    for p in range(len(detections)):
        if kept[detections[p]]:
            s = slots[detections[p]]
            numbers[first[s + 1]] = p
            first[s + 1] += 1
    return numbers, first[: slot_count + 1]


@kernel
def _match(detections, gts, ious, kept, scores, slots, out, slot_open, gt_ids, gt_out, range_count):
    numbers, first = _chains(detections, kept, slots, len(slot_open))
    rows = np.full(len(kept), -1, np.int32)
    count = 0
    for k in range(len(numbers)):
        if rows[detections[numbers[k]]] < 0:
            rows[detections[numbers[k]]] = count
            count += 1
    hits = np.zeros((count, range_count), np.uint16)
    misses = np.zeros((count, range_count), np.uint16)
    partners = np.full(count, -1, np.int32)
    taken = np.zeros((len(gt_ids), range_count), np.uint16)
    levels = _levels(ious)
    for s in range(len(slot_open)):
        if first[s] < first[s + 1]:
            mine = numbers[first[s] : first[s + 1]]
            heads = _heads_by_score(mine, detections, scores)
            for head in heads:
                d = detections[mine[head]]
                tail = head
                while tail < len(mine) and detections[mine[tail]] == d:
                    tail += 1
                _sort_by_iou(mine[head:tail], ious)
                partners[rows[d]] = _match_one(
                    mine[head:tail],
                    gts,
                    levels,
                    0xFFFF if slot_open[s] else np.int64(out[d]),
                    gt_ids,
                    gt_out,
                    taken,
                    hits[rows[d]],
                    misses[rows[d]],
                )
    return rows, hits, misses, partners, taken[:, 0].copy()


@kernel
def _heads_by_score(mine, detections, scores):
    """Where each detection's pairs begin in ``mine``, detections by falling score, stable."""
    heads = np.empty(len(mine), np.int64)
    n = 0
    for k in range(len(mine)):
        if k == 0 or detections[mine[k]] != detections[mine[k - 1]]:
            score = scores[detections[mine[k]]]
            j = n
            while j > 0 and scores[detections[mine[heads[j - 1]]]] < score:
                heads[j] = heads[j - 1]
                j -= 1
            heads[j] = k
            n += 1
    return heads[:n]


@kernel
def _levels(ious):
    """(P,) uint16: thresholds (bits) that each IoU reaches."""
    levels = np.zeros(len(ious), np.uint16)
    for p in range(len(ious)):
        for t in range(len(THRESHOLDS)):
            levels[p] |= np.uint16(ious[p] >= THRESHOLDS[t]) << np.uint16(t)
    return levels


@kernel
def _sort_by_iou(mine, ious):
    """Sort pairs by falling IoU, of equal ones the last first: at each threshold the best comes first."""
    for k in range(1, len(mine)):
        p = mine[k]
        j = k
        while j > 0 and ious[mine[j - 1]] <= ious[p]:
            mine[j] = mine[j - 1]
            j -= 1
        mine[j] = p


@kernel
def _match_one(mine, gts, levels, out, gt_ids, gt_out, taken, hits, misses):
    """Match one detection with its pairs, the best first; its ground truth at IoU 0.5 in range all, or
    -1."""
    partner = -1
    for r in range(len(hits)):
        left = (1 << len(THRESHOLDS)) - 1  # thresholds without a match yet
        alone = 0 if out >> r & 1 != 0 else left  # those where it would be wrong without one
        # ground truth instances that count come first, ignored ones only where none of those matches
        for ignored in (False, True):
            for p in mine:
                g = gts[p]
                if (gt_out[g] >> r & 1 != 0) != ignored:
                    continue
                got = np.int64(levels[p]) & left & ~np.int64(taken[g, r])
                left &= ~got
                taken[g, r] |= np.uint16(got)
                if r == 0 and got & 1 != 0:
                    partner = g
                if ignored:
                    alone &= ~got
                elif gt_ids[g] != 0:  # id 0 reads as unmatched in lvis-api
                    hits[r] |= np.uint16(got)
                    alone &= ~got
        misses[r] = alone
    return partner
