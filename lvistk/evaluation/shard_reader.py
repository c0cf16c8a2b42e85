"""Blocks of one file of a detection store, read as columns or as records.

Columns are read with plain reads at their place in the file: mapped pages would count as memory. The RLEs
of a block are mapped, and only while it is measured: most are never touched.
"""

import mmap
import os
import threading

import numpy as np

from lvistk.data.store.detection_shard import Shard
from lvistk.errors import UserError
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.ground_truth.head import rows_of
from lvistk.evaluation.measure_store import Block
from lvistk.evaluation.results_json import records as scan
from lvistk.evaluation.results_json.json_records import Records
from lvistk.evaluation.results_json.records import PADDING

BLOCK = 32768
"""Detections measured at once; whole images."""
_buffer = threading.local()


class ShardReader:
    """Reads blocks of one shard; ``first`` is the number of its first detection in the store."""

    def __init__(self, shard: Shard, category_ids: np.ndarray, first: int = 0) -> None:
        self.shard = shard
        self.category_ids = category_ids
        self.first = first
        images = len(shard.image_ids)
        with shard.path.open("rb") as handle:
            reader = _ColumnReader(shard, handle.fileno())
            self.rows = reader.read("images/row", 0, images + 1).copy()
            self.heights = reader.read("images/height", 0, images).copy()
            self.widths = reader.read("images/width", 0, images).copy()

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of images with about BLOCK detections each."""
        steps = np.arange(0, self.rows[-1], BLOCK)
        edges = np.unique(np.append(np.searchsorted(self.rows, steps), len(self.rows) - 1))
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The detections of images first:last."""
        return int(self.rows[first]), int(self.rows[last])

    def block(
        self, first: int, last: int, gt: GroundTruthArrays, *, masks: bool, boxes: bool
    ) -> Block:
        """Images first:last, in buffers that this thread's next block overwrites."""
        a, b = self.span(first, last)
        masked = b if masks else a
        known = masked if self.shard.extents_known else a
        with self.shard.path.open("rb") as handle:
            reader = _ColumnReader(self.shard, handle.fileno())
            text, offsets = reader.masks(a, masked)
            return Block(
                images=rows_of(self.shard.image_ids[first:last], gt.image_ids).astype(np.int32),
                heights=self.heights[first:last],
                widths=self.widths[first:last],
                rows=self.rows[first : last + 1],
                labels=reader.read("label", a, b),
                scores=reader.read("score", a, b),
                boxes=reader.read("box", a, b if boxes else a),
                mask_areas=reader.read("mask_area", a, known),
                mask_boxes=reader.read("mask_box", a, known, width=4),
                offsets=offsets,
                text=text,
            )

    def mask_scores(self, first: int, last: int, scores: np.ndarray) -> np.ndarray:
        """What the masks of images first:last are ranked by: ``scores`` where no mask is scored."""
        if "mask_score" not in self.shard.layout:
            return scores
        with self.shard.path.open("rb") as handle:
            found = _ColumnReader(self.shard, handle.fileno()).read(
                "mask_score", *self.span(first, last)
            )
        return np.where(np.isnan(found), scores, found)

    def records(self, first: int, last: int, *, masks: bool) -> Records:
        """The detections of images first:last as records of a results file."""
        a, b = self.span(first, last)
        images = np.repeat(np.arange(first, last), np.diff(self.rows[first : last + 1]))
        records = np.zeros(b - a, scan.RECORD)
        with self.shard.path.open("rb") as handle:
            reader = _ColumnReader(self.shard, handle.fileno())
            boxes = reader.read("box", a, b).astype(np.float64)
            text, offsets = reader.masks(a, b if masks else a)
            records["category_id"] = self.category_ids[reader.read("label", a, b)]
            records["score"] = reader.read("score", a, b)
        records["image_id"] = self.shard.image_ids[images]
        records["x"], records["y"] = boxes[:, 0], boxes[:, 1]
        records["width"] = boxes[:, 2] - boxes[:, 0]
        records["height"] = boxes[:, 3] - boxes[:, 1]
        records["has"] = scan.HAS_IMAGE | scan.HAS_CATEGORY | scan.HAS_SCORE | scan.HAS_BOX
        if masks:
            records["mask_start"], records["mask_stop"] = offsets[:-1], offsets[1:]
            records["mask_height"] = self.heights[images]
            records["mask_width"] = self.widths[images]
            records["mask_kind"] = scan.RLE_TEXT
        return Records(text, records, np.zeros(0))


class _ColumnReader:
    """Rows of columns of an open shard, in this thread's buffers."""

    def __init__(self, shard: Shard, descriptor: int) -> None:
        self.shard, self.descriptor = shard, descriptor

    def read(self, name: str, first: int, last: int, *, width: int = 0) -> np.ndarray:
        """Rows first:last of a column; none of one that is not there (rows of ``width``)."""
        if name not in self.shard.layout:
            return np.zeros((0, width) if width else 0, np.int32)
        offset, shape, kind = self.shard.layout[name]
        out = _room(name, last - first, shape[1:], kind)
        if offset < 0 or not out.nbytes:
            out[:] = 0
            return out
        row_bytes = out.nbytes // len(out)
        got = os.preadv(self.descriptor, [out.data.cast("B")], offset + first * row_bytes)
        if got != out.nbytes:
            raise UserError(f"{self.shard.path}: {name} ends in the middle; write it again")
        return out

    def masks(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """RLEs of detections first:last: bytes, with PADDING more that may be anything, and where each
        begins there (D + 1,)."""
        if first == last:
            return np.zeros(PADDING, np.uint8), np.zeros(1, np.int64)
        offsets = self.read("rle_offset", first, last + 1)
        begin, end = int(offsets[0]), int(offsets[-1])
        offsets -= begin
        place = self.shard.layout["rle"][0] + begin
        page = place % mmap.ALLOCATIONGRANULARITY
        size = end - begin + PADDING
        if begin == end or place + size > os.fstat(self.descriptor).st_size:
            text = np.zeros(size, np.uint8)
            text[:-PADDING] = self.read("rle", begin, end)
            return text, offsets
        # a copy on write, which nobody writes to: kernels are compiled for writable arrays
        mapped = mmap.mmap(
            self.descriptor, page + size, access=mmap.ACCESS_COPY, offset=place - page
        )
        return np.frombuffer(mapped, np.uint8, size, page), offsets


def _room(name: str, size: int, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """``size`` rows of this thread's buffer ``name``: new memory for each block would cost more than
    reading it."""
    room = getattr(_buffer, name, None)
    if room is None or len(room) < size:
        room = np.empty((size * 5 // 4, *shape), kind)
        setattr(_buffer, name, room)
    return room[:size]
