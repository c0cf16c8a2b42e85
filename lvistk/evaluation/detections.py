"""All detections of an input, measured against the ground truth, in a few flat arrays."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from lvistk.data.store.detection_store import DetectionStore
from lvistk.evaluation.blocks import Block
from lvistk.evaluation.columns import KINDS, NOWHERE, Columns
from lvistk.evaluation.complaints import COMPLAINTS, bad_detection, unknown_image
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.growing import Growing
from lvistk.evaluation.left_out import LeftOut
from lvistk.evaluation.measure import Measured, Options, measure
from lvistk.evaluation.nearness import NEAREST
from lvistk.evaluation.pairs import PAIR, BoundaryGroundTruth
from lvistk.evaluation.ranges import Ranges
from lvistk.evaluation.results_json import read_blocks
from lvistk.evaluation.sources import Source
from lvistk.evaluation.store_blocks import read_store_blocks
from lvistk.json_input.text import json_text

DETECTION_BYTES = 64
"""Estimated bytes of JSON per detection, for preallocation; most take more."""
ID_ENDS = -(2**63), 2**63 - 1
FEW = 1 << 12
"""Rows that are preallocated at least."""
Locate = Callable[[int], tuple[Path, int]]
"""The file that holds a detection of the input, and its row there."""


class Against(NamedTuple):
    """What detections are measured against, and how."""

    gt: GroundTruthArrays
    boundary: BoundaryGroundTruth
    ranges: Ranges
    image_of: Callable[[str], int]
    """the image id that a text in ``image_id`` of results JSON means"""
    unknown_images: Literal["refuse", "drop"]
    threads: int


class Detections(NamedTuple):
    """N detections in the order of the input, and their pairs."""

    table: Columns
    """(N,) each"""
    mask_scores: np.ndarray | None
    """(N,) float64, what masks are ranked by; None where that is the score"""
    mask_pairs: np.ndarray
    """(pairs,) of PAIR"""
    box_pairs: np.ndarray
    """(pairs,) of PAIR"""
    nearest: np.ndarray
    """(N,) of NEAREST where they were asked for, else (0,)"""
    foreign_sizes: int
    """masks whose size is not their image's"""
    dropped: int
    """parts that were left out of masks because they are no polygons"""
    least_ids: tuple[int, int]
    """the lowest image id and the lowest category id"""
    most_ids: tuple[int, int]
    """the highest image id and the highest category id"""

    def left_out(self) -> LeftOut:
        """What was left out of the evaluation."""
        return LeftOut(
            unknown_categories=int(np.count_nonzero(self.table.category == NOWHERE)),
            unknown_images=int(np.count_nonzero(self.table.image == NOWHERE)),
            foreign_sizes=self.foreign_sizes,
            dropped=self.dropped,
            least_ids=self.least_ids,
            most_ids=self.most_ids,
        )


def read_detections(source: Source, *, against: Against, options: Options) -> Detections:
    """Measure every detection of a results file or store.

    Masks are ranked by ``mask_score`` where a store has one. Raises ``UserError`` naming the file and the
    detection for one that cannot be evaluated.
    """
    work = partial(_measure_block, against=against, options=options)
    masks = options.masks or not options.boxed
    refuse = against.unknown_images == "refuse"
    first_image = int(against.gt.image_ids[0]) if len(against.gt.image_ids) else 0
    if not source.store:
        text = json_text(source.path)
        gather = partial(
            _gather,
            expect=len(text.data) // DETECTION_BYTES,
            locate=lambda row: (source.path, row),
            refuse=refuse,
            first_image=first_image,
        )
        return read_blocks(
            text,
            work,
            gather,
            threads=against.threads,
            masks=masks,
            image_of=against.image_of,
        )
    store = DetectionStore.open(source.path)
    firsts = [0, *itertools.accumulate(s.layout["score"][1][0] for s in store.shards)]

    def locate(row: int) -> tuple[Path, int]:
        shard = int(np.searchsorted(firsts, row, side="right")) - 1
        return store.shards[shard].path, row - firsts[shard]

    parts = read_store_blocks(
        store,
        work,
        threads=against.threads,
        masks=masks,
        boxes=options.boxes or options.mask_area_is_box,
    )
    return _gather(parts, expect=firsts[-1], locate=locate, refuse=refuse, first_image=first_image)


class _Suspect(NamedTuple):
    """A detection that is wrong, or the first in an image that is not in the ground truth."""

    row: int
    has: int
    image_id: int
    category_id: int


class _Part(NamedTuple):
    measured: Measured
    dropped: int
    ids: np.ndarray
    """(2, n) int64 the lowest and the highest image and category ids, n = 2; n = 0 without detections"""
    suspect: _Suspect | None


def _measure_block(block: Block, *, against: Against, options: Options) -> _Part:
    measured = measure(
        block,
        gt=against.gt,
        boundary=against.boundary,
        ranges=against.ranges,
        options=options,
    )
    dropped, ids = int(block.dropped.sum()), _id_ranges(block)
    row = measured.row
    if not measured.code:
        strange = measured.detections.image == NOWHERE
        if not strange.any():
            return _Part(measured, dropped, ids, None)
        row = int(np.argmax(strange))
    suspect = (block.has[row], block.image_ids[row], block.category_ids[row])
    return _Part(measured, dropped, ids, _Suspect(row, *(int(value) for value in suspect)))


def _id_ranges(block: Block) -> np.ndarray:
    """(2, n) lowest and highest ids, as in ``_Part``."""
    columns = [block.image_ids, block.category_ids] if len(block.has) else []
    return np.array([[c.min() for c in columns], [c.max() for c in columns]], np.int64)


def _gather(
    parts: Iterator[_Part], *, expect: int, locate: Locate, refuse: bool, first_image: int
) -> Detections:
    """All parts together.

    expect: detections that are preallocated
    locate: the file and row of a detection
    refuse: whether an image that is not in the ground truth is an error
    first_image: the lowest image id of the ground truth
    """
    table = tuple(Growing(kind, max(expect, FEW)) for kind in KINDS)
    mask_scores, nearest = Growing(np.float64, FEW), Growing(NEAREST, FEW)
    mask_pairs, box_pairs = Growing(PAIR, FEW), Growing(PAIR, FEW)
    used, foreign_sizes, all_dropped = 0, 0, 0
    least, most = np.full(2, ID_ENDS[1]), np.full(2, ID_ENDS[0])
    for measured, dropped, ids, suspect in parts:
        if ids.size:
            least, most = np.minimum(least, ids[0]), np.maximum(most, ids[1])
        all_dropped += dropped
        if suspect is not None and (measured.code or refuse):
            path, row = locate(used + suspect.row)
            unknown = unknown_image(suspect.image_id, first_image)
            complaint = COMPLAINTS.get(measured.code, unknown)
            raise bad_detection(
                path,
                row,
                has=suspect.has,
                image_id=suspect.image_id,
                category_id=suspect.category_id,
                complaint=complaint,
            )
        for pairs, column in (
            (measured.mask_pairs, mask_pairs),
            (measured.box_pairs, box_pairs),
        ):
            pairs["detection"] += used
            column.add(pairs)
        for column, values in zip(table, measured.detections, strict=True):
            column.add(values)
        mask_scores.add(measured.mask_scores)
        nearest.add(measured.nearest)
        used += len(measured.detections.score)
        foreign_sizes += measured.foreign_sizes
    scored = mask_scores.filled()
    return Detections(
        Columns(*(column.filled() for column in table)),
        scored if len(scored) else None,
        mask_pairs.filled(),
        box_pairs.filled(),
        nearest.filled(),
        foreign_sizes,
        all_dropped,
        (int(least[0]), int(least[1])),
        (int(most[0]), int(most[1])),
    )
