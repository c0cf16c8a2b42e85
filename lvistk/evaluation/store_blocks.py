"""A detection store as blocks of columns.

Columns are read with plain reads at their offset in the file: mapped pages would count as memory. The RLEs
of a block are mapped, and only while it is measured: most are never touched.
"""

import mmap
import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from lvistk.data.store.detection_shard import Shard
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.evaluation.blocks import (
    HAS_BOX,
    HAS_CATEGORY,
    HAS_IMAGE,
    HAS_SCORE,
    NO_MASK,
    NONE_FLOAT64,
    NONE_INT64,
    NONE_UINT8,
    PADDING,
    RLE_TEXT,
    Block,
)
from lvistk.evaluation.in_order import map_in_order

BLOCK = 32768
"""Detections measured at once; whole images."""
ALL_FIELDS = HAS_IMAGE | HAS_CATEGORY | HAS_SCORE | HAS_BOX
Result = TypeVar("Result")
_buffer = threading.local()


def read_store_blocks(
    store: DetectionStore,
    work: Callable[[Block], Result],
    *,
    threads: int,
    masks: bool,
    boxes: bool,
) -> Iterator[Result]:
    """``work`` on every block of a store, results in the order of its files.

    masks, boxes: whether blocks need them

    Raises ``UserError`` for a label that the store has no category for.
    """

    scored = any("mask_score" in shard.layout for shard in store.shards)

    def items() -> Iterator[tuple[ShardReader, int, int]]:
        for shard in store.shards:
            reader = ShardReader(shard, store.category_ids)
            yield from ((reader, first, last) for first, last in reader.blocks())

    def measure(item: tuple[ShardReader, int, int]) -> Result:
        reader, first, last = item
        return work(reader.block(first, last, masks=masks, boxes=boxes, scored=masks and scored))

    return map_in_order(measure, items(), threads=threads)


class ShardReader:
    """Reads blocks of one file of a store."""

    def __init__(self, shard: Shard, category_ids: np.ndarray) -> None:
        self.shard = shard
        self.category_ids = category_ids
        images = len(shard.image_ids)
        with shard.path.open("rb") as handle:
            reader = _ColumnReader(shard, handle.fileno())
            self.rows = reader.read("images/row", 0, images + 1).copy()
            self.heights = reader.read("images/height", 0, images).astype(np.int64)
            self.widths = reader.read("images/width", 0, images).astype(np.int64)

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of images with about BLOCK detections each."""
        steps = np.arange(0, self.rows[-1], BLOCK)
        edges = np.unique(np.append(np.searchsorted(self.rows, steps), len(self.rows) - 1))
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    def block(self, first: int, last: int, *, masks: bool, boxes: bool, scored: bool) -> Block:
        """The detections of images first:last.

        scored: whether masks are ranked by scores of their own, in this file or another of the store
        """
        a, b = int(self.rows[first]), int(self.rows[last])
        images = np.repeat(np.arange(first, last), np.diff(self.rows[first : last + 1]))
        masked = b if masks and "rle" in self.shard.layout else a
        told = masked if self.shard.extents_known else a
        with self.shard.path.open("rb") as handle:
            reader = _ColumnReader(self.shard, handle.fileno())
            text, offsets = reader.masks(a, masked)
            scores = reader.read("score", a, b).astype(np.float64)
            return Block(
                has=np.full(b - a, ALL_FIELDS, np.uint8),
                image_ids=self.shard.image_ids[images].astype(np.int64),
                category_ids=self._category_ids(reader.read("label", a, b), images),
                scores=scores,
                boxes=_xywh(reader.read("box", a, b if boxes else a, width=4)),
                mask_kinds=np.full(b - a, RLE_TEXT if masked > a else NO_MASK, np.uint8),
                mask_starts=offsets[:-1],
                mask_stops=offsets[1:],
                mask_heights=self.heights[images],
                mask_widths=self.widths[images],
                escaped=np.zeros(b - a, np.uint8),
                mask_areas=reader.read("mask_area", a, told),
                mask_boxes=reader.read("mask_box", a, told, width=4),
                text=text,
                numbers=NONE_FLOAT64,
                mask_scores=self._mask_scores(reader, a, b, scores) if scored else NONE_FLOAT64,
                dropped=NONE_INT64,
                ids=NONE_INT64,
                areas=NONE_FLOAT64,
                ignored=NONE_UINT8,
            )

    def _category_ids(self, labels: np.ndarray, images: np.ndarray) -> np.ndarray:
        strange = (labels < 0) | (labels >= len(self.category_ids))
        if strange.any():
            row = int(np.argmax(strange))
            image = self.shard.image_ids[images[row]]
            last = len(self.category_ids) - 1
            raise UserError(
                f"{self.shard.path}: image {image}: label {labels[row]} is not in 0..{last}"
            )
        return self.category_ids[labels].astype(np.int64)

    def _mask_scores(
        self, reader: "_ColumnReader", first: int, last: int, scores: np.ndarray
    ) -> np.ndarray:
        """What masks are ranked by: ``scores`` where no mask is scored."""
        if "mask_score" not in self.shard.layout:
            return scores
        given = reader.read("mask_score", first, last).astype(np.float64)
        return np.where(np.isnan(given), scores, given)


def _xywh(boxes: np.ndarray) -> np.ndarray:
    """(D, 4) float64 x, y, width, height of xyxy boxes."""
    xywh = boxes.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    return xywh


class _ColumnReader:
    """Rows of columns of an open shard, in this thread's buffers."""

    def __init__(self, shard: Shard, descriptor: int) -> None:
        self.shard, self.descriptor = shard, descriptor

    def read(self, name: str, first: int, last: int, *, width: int = 0) -> np.ndarray:
        """Rows first:last of a column; none where the shard has no such column (rows of ``width``)."""
        if name not in self.shard.layout:
            return np.zeros((0, width) if width else 0, np.int32)
        offset, shape, kind = self.shard.layout[name]
        out = _buffer_rows(name, last - first, shape[1:], kind)
        if offset < 0 or not out.nbytes:
            out[:] = 0
            return out
        row_bytes = out.nbytes // len(out)
        got = os.preadv(self.descriptor, [out.data.cast("B")], offset + first * row_bytes)
        if got != out.nbytes:
            raise UserError(f"{self.shard.path}: {name} ends in the middle; write it again")
        return out

    def masks(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """RLEs of detections first:last: bytes with PADDING more of any value, and the offset of each
        there, (D + 1,)."""
        if first == last:
            return np.zeros(PADDING, np.uint8), np.zeros(1, np.int64)
        offsets = self.read("rle_offset", first, last + 1)
        begin, end = int(offsets[0]), int(offsets[-1])
        offsets -= begin
        start = self.shard.layout["rle"][0] + begin
        page = start % mmap.ALLOCATIONGRANULARITY
        size = end - begin + PADDING
        if begin == end or start + size > os.fstat(self.descriptor).st_size:
            text = np.zeros(size, np.uint8)
            text[:-PADDING] = self.read("rle", begin, end)
            return text, offsets
        # a copy on write, which nobody writes to: kernels are compiled for writable arrays
        mapped = mmap.mmap(
            self.descriptor, page + size, access=mmap.ACCESS_COPY, offset=start - page
        )
        return np.frombuffer(mapped, np.uint8, size, page), offsets


def _buffer_rows(name: str, size: int, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """``size`` rows of this thread's buffer ``name``: new memory for each block would cost more than
    reading it."""
    rows = getattr(_buffer, name, None)
    if rows is None or len(rows) < size:
        rows = np.empty((size * 5 // 4, *shape), kind)
        setattr(_buffer, name, rows)
    return rows[:size]
