"""A detection store, measured against the truth block by block.

The columns are read with plain reads at their place in the file; mapped pages would count as memory.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lvistk.data.detection_shard import Shard
from lvistk.data.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.evaluation import records as scan
from lvistk.evaluation.collect import Collector, Detections
from lvistk.evaluation.json_records import Records
from lvistk.evaluation.measure import NOWHERE, Measured, Options, measure
from lvistk.evaluation.records import COMPLAINTS, PADDING, UNKNOWN_IMAGE, bad_detection
from lvistk.evaluation.results_json import Against

BLOCK = 16384
"""Detections measured at once; whole images."""
_buffer = threading.local()


def read_store(path: Path, *, against: Against, options: Options) -> Detections:
    """Measure every detection of the store; masks are ranked by ``mask_score`` where there is one.

    Raises ``UserError`` naming the file, the image and the detection for one that cannot be evaluated.
    """
    store = DetectionStore.open(path)
    expect = sum(shard.layout["score"][1][0] for shard in store.shards)
    parts = _in_order(store, against=against, options=options)
    return Collector(expect=expect).add_all(parts)


def _in_order(store: DetectionStore, *, against: Against, options: Options) -> Iterator[Measured]:
    waiting: deque[Future[Measured]] = deque()
    with ThreadPoolExecutor(against.threads) as pool:
        try:
            for shard in store.shards:
                reader = ShardReader(shard, store.category_ids)
                for first, last in reader.blocks():
                    waiting.append(pool.submit(reader.measure, first, last, against, options))
                    if len(waiting) > 2 * against.threads:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class ShardReader:
    """Reads blocks of one shard as records."""

    def __init__(self, shard: Shard, category_ids: np.ndarray) -> None:
        self.shard = shard
        self.category_ids = category_ids
        self.rows = self._read("images/row", 0, len(shard.image_ids) + 1)
        self.heights = self._read("images/height", 0, len(shard.image_ids))
        self.widths = self._read("images/width", 0, len(shard.image_ids))

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of images with about BLOCK detections each."""
        steps = np.arange(0, self.rows[-1], BLOCK)
        edges = np.unique(np.append(np.searchsorted(self.rows, steps), len(self.rows) - 1))
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    def measure(self, first: int, last: int, against: Against, options: Options) -> Measured:
        """Measure the detections of images first:last."""
        found = self.records(first, last, masks=options.masks)
        measured = measure(
            found.text,
            found.records,
            found.numbers,
            truth=against.truth,
            boundary=against.boundary,
            ranges=against.ranges,
            options=options,
        )
        a, b = int(self.rows[first]), int(self.rows[last])
        self._judge(measured, found.records, a, against)
        scores = found.records["score"].astype(np.float32)
        return measured._replace(mask_scores=self._mask_scores(a, b, scores))

    def records(self, first: int, last: int, *, masks: bool) -> Records:
        """The detections of images first:last as records of a results file.

        They lie in buffers of this thread, which its next block overwrites.
        """
        a, b = int(self.rows[first]), int(self.rows[last])
        images = np.repeat(np.arange(first, last), np.diff(self.rows[first : last + 1]))
        records = _room("records", b - a, scan.RECORD)
        records["mask_kind"] = scan.NO_MASK
        records["escaped"] = False
        labels = self._read("label", a, b)
        strange = (labels < 0) | (labels >= len(self.category_ids))
        if strange.any():
            place = int(np.argmax(strange))
            raise UserError(
                f"{self.shard.path}: image {self.shard.image_ids[images[place]]}: label "
                f"{labels[place]} is not in 0..{len(self.category_ids) - 1}"
            )
        boxes = self._read("box", a, b).astype(np.float64)
        records["image_id"] = self.shard.image_ids[images]
        records["category_id"] = self.category_ids[labels]
        records["score"] = self._read("score", a, b)
        records["x"], records["y"] = boxes[:, 0], boxes[:, 1]
        records["width"] = boxes[:, 2] - boxes[:, 0]
        records["height"] = boxes[:, 3] - boxes[:, 1]
        records["has"] = scan.HAS_IMAGE | scan.HAS_CATEGORY | scan.HAS_SCORE | scan.HAS_BOX
        text = np.zeros(0, np.uint8)
        if masks and "rle" in self.shard.layout:
            offsets = self._read("rle_offset", a, b + 1)
            size = int(offsets[-1] - offsets[0])
            text = _room("text", size + PADDING, np.uint8)
            self._read_into(text[:size], "rle", int(offsets[0]))
            records["mask_start"] = offsets[:-1] - offsets[0]
            records["mask_stop"] = offsets[1:] - offsets[0]
            records["mask_height"], records["mask_width"] = (
                self.heights[images],
                self.widths[images],
            )
            records["mask_kind"] = scan.RLE_TEXT
        return Records(text, records, np.zeros(0))

    def _mask_scores(self, first: int, last: int, scores: np.ndarray) -> np.ndarray:
        """What masks are ranked by, (R,) float32; always given, as another shard may have mask scores."""
        if "mask_score" not in self.shard.layout:
            return scores
        mask_scores = self._read("mask_score", first, last)
        return np.where(np.isnan(mask_scores), scores, mask_scores)

    def _judge(self, measured: Measured, records: np.ndarray, first: int, against: Against) -> None:
        place = measured.place
        complaint = COMPLAINTS.get(measured.code)
        strange = measured.detections["image"] == NOWHERE
        if complaint is None and against.unknown_images == "refuse" and strange.any():
            place, complaint = int(np.argmax(strange)), UNKNOWN_IMAGE
        if complaint is not None:
            raise bad_detection(self.shard.path, first + place, records[place], complaint)

    def _read(self, name: str, first: int, last: int) -> np.ndarray:
        """Rows first:last of a column."""
        _, shape, kind = self.shard.layout[name]
        out = np.empty((last - first, *shape[1:]), kind)
        self._read_into(out, name, first)
        return out

    def _read_into(self, out: np.ndarray, name: str, first: int) -> None:
        """Fill ``out`` with the rows of a column from ``first`` on."""
        offset = self.shard.layout[name][0]
        if offset < 0 or not out.nbytes:
            out[:] = 0
            return
        row_bytes = out.nbytes // len(out)
        with self.shard.path.open("rb") as handle:
            got = os.preadv(handle.fileno(), [out.data.cast("B")], offset + first * row_bytes)
        if got != out.nbytes:
            raise UserError(f"{self.shard.path}: {name} ends in the middle; write it again")


def _room(name: str, size: int, kind: np.dtype | type) -> np.ndarray:
    """``size`` items of this thread's buffer ``name``: new memory for each block would cost more than
    reading it."""
    if len(getattr(_buffer, name, ())) < size:
        setattr(_buffer, name, np.empty(size * 5 // 4, kind))
    return getattr(_buffer, name)[:size]
