"""A detection store, measured against the ground truth block by block."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.evaluation.collect import KINDS, Detections
from lvistk.evaluation.columns import NOWHERE, Columns
from lvistk.evaluation.ground_truth.head import rows_of
from lvistk.evaluation.measure import Options
from lvistk.evaluation.measure_store import Found, measure_block
from lvistk.evaluation.pairs import PAIR
from lvistk.evaluation.results_json import records as form
from lvistk.evaluation.results_json.measured import Against
from lvistk.evaluation.shard_reader import ShardReader
from lvistk.masks.codes import OK


def read_store(path: Path, *, against: Against, options: Options) -> Detections:
    """Measure every detection of the store; masks are ranked by ``mask_score`` if the store has it.

    Raises ``UserError`` naming the file, the image and the detection for one that cannot be evaluated.
    """
    measurer = _StoreMeasurer(DetectionStore.open(path), against, options)
    with ThreadPoolExecutor(against.threads) as pool:
        try:
            found = [
                future.result()
                for future in [pool.submit(measurer.measure, *work) for work in measurer.blocks()]
            ]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    none = np.empty(0, PAIR)
    return Detections(
        measurer.columns,
        measurer.mask_scores,
        np.concatenate([none, *(one.mask_pairs for one in found)]),
        np.concatenate([none, *(one.box_pairs for one in found)]),
        sum(one.foreign_sizes for one in found),
    )


class _StoreMeasurer:
    """Measures the blocks of a store, each into its own rows of ``columns``."""

    def __init__(self, store: DetectionStore, against: Against, options: Options) -> None:
        self.against, self.options = against, options
        self.shards, self.category_ids = store.shards, store.category_ids
        self.categories = rows_of(store.category_ids, against.gt.category_ids).astype(np.int32)
        sizes = [shard.layout["score"][1][0] for shard in store.shards]
        self.first = [0, *itertools.accumulate(sizes)]
        self.columns = Columns(*(np.empty(self.first[-1], kind) for kind in KINDS))
        scored = options.masks and any("mask_score" in shard.layout for shard in store.shards)
        self.mask_scores = np.empty(self.first[-1]) if scored else None

    def blocks(self) -> Iterator[tuple[ShardReader, int, int]]:
        """Reader, first and last image of every block."""
        for shard, first in zip(self.shards, self.first[:-1], strict=True):
            reader = ShardReader(shard, self.category_ids, first)
            yield from ((reader, a, b) for a, b in reader.blocks())

    def measure(self, reader: ShardReader, first: int, last: int) -> Found:
        """Measure the detections of images first:last of a shard."""
        against, options = self.against, self.options
        boxes = options.boxes or options.mask_area_is_box
        block = reader.block(first, last, against.gt, masks=options.masks, boxes=boxes)
        a, b = (reader.first + place for place in reader.span(first, last))
        columns = Columns(*(column[a:b] for column in self.columns))
        found = measure_block(
            block,
            columns,
            a,
            categories=self.categories,
            gt=against.gt,
            boundary=against.boundary,
            ranges=against.ranges,
            options=options,
        )
        self._judge(found, columns, block.labels, reader, first)
        if self.mask_scores is not None:
            self.mask_scores[a:b] = reader.mask_scores(first, last, columns.score)
        return found

    def _judge(
        self,
        found: Found,
        columns: Columns,
        labels: np.ndarray,
        reader: ShardReader,
        first_image: int,
    ) -> None:
        """Raise ``UserError`` for a detection that cannot be evaluated."""
        place, complaint = found.place, form.COMPLAINTS.get(found.code)
        strange = columns.image == NOWHERE
        if found.code == OK and self.against.unknown_images == "refuse" and strange.any():
            place, complaint = int(np.argmax(strange)), form.UNKNOWN_IMAGE
        if complaint is None and found.code == OK:
            return
        row = int(reader.rows[first_image]) + place
        image = reader.shard.image_ids[np.searchsorted(reader.rows, row, side="right") - 1]
        path, label = reader.shard.path, labels[place]
        if complaint is None:
            count = len(self.categories)
            raise UserError(f"{path}: image {image}: label {label} is not in 0..{count - 1}")
        record = np.zeros(1, form.RECORD)[0]
        record["has"] = form.HAS_IMAGE | form.HAS_CATEGORY
        record["image_id"], record["category_id"] = image, self.category_ids[label]
        raise form.bad_detection(path, row, record, complaint)
