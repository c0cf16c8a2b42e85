"""Greedy matching within each slot, an (image, category), for all ranges and IoU thresholds at once.

Only detections with a pair are matched here: with an IoU of at least 0.5 to a ground truth instance of
their slot. All others are false positives, or ignored if their category is not exhaustively annotated in
the image or their area is out of range.
"""

from typing import NamedTuple

import numpy as np

from lvistk.evaluation.ranges import IOU_THRESHOLDS
from lvistk.jit import kernel

THRESHOLDS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)


class Matches(NamedTuple):
    """What became of N detections, of which M have a pair. Bit t of a uint16 is IoU threshold t.

    rows: (N,) int32, row of the detection in the next three fields; -1 without a pair
    hits: (M, R) uint16, thresholds at which it is a true positive, for each range
    misses: (M, R) uint16, thresholds at which it is a false positive; with neither bit it is ignored
    gts: (M,) int32, the ground truth instance that it matches at IoU 0.5 in range ``all``, or -1
    matched: (G,) uint16, thresholds at which the ground truth instance is matched, in range ``all``
    """

    rows: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    gts: np.ndarray
    matched: np.ndarray


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
    """Match N detections with G ground truth instances.

    pairs: (P,) of type ``PAIR``, in the order of detections, then of ground truth instances
    ious: (P,) what is compared with the thresholds
    kept: (N,) bool, detections that count
    scores: (N,)
    slots: (N,) slot of each detection
    out: (N,) ranges, as bits, in which a detection is ignored
    slot_open: (S,) bool, slots whose category is not exhaustively annotated in the image
    gt_ids: (G,) annotation ids; one of 0 counts as unmatched, as in lvis-api
    gt_out: (G,) ranges, as bits, in which a ground truth instance is ignored
    range_count: R
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
    """Pairs of kept detections by slot, in the order of the input: (pair numbers, first of each slot)."""
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
    """Where the pairs of each detection begin in ``mine``, by falling score of the detections, stable."""
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
    """(P,) uint16, thresholds, as bits, that each IoU reaches."""
    levels = np.zeros(len(ious), np.uint16)
    for p in range(len(ious)):
        for t in range(len(THRESHOLDS)):
            levels[p] |= np.uint16(ious[p] >= THRESHOLDS[t]) << np.uint16(t)
    return levels


@kernel
def _sort_by_iou(mine, ious):
    """Sort pairs by falling IoU, equal ones by falling position, in place."""
    for k in range(1, len(mine)):
        p = mine[k]
        j = k
        while j > 0 and ious[mine[j - 1]] <= ious[p]:
            mine[j] = mine[j - 1]
            j -= 1
        mine[j] = p


@kernel
def _match_one(mine, gts, levels, out, gt_ids, gt_out, taken, hits, misses):
    """Match one detection with its pairs, the best first.

    Returns the ground truth instance that it matches at IoU 0.5 in range ``all``, or -1.
    """
    partner = -1
    for r in range(len(hits)):
        left = (1 << len(THRESHOLDS)) - 1  # thresholds without a match so far
        alone = 0 if out >> r & 1 != 0 else left  # those at which it is wrong if it matches nothing
        # an ignored instance is taken only at thresholds at which no other one matches
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
