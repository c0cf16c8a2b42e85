"""LVIS annotation JSON into ``GroundTruth``: checked, masks rasterised once and kept beside the file."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from lvistk.evaluation.block_mask import spans_of_block
from lvistk.evaluation.blocks import HAS_AREA, HAS_BOX, Block
from lvistk.evaluation.ground_truth.arrays import Annotations, GroundTruth, Lists, arrange
from lvistk.evaluation.ground_truth.head import (
    Head,
    bad_mask,
    frequency_of,
    gt_warnings,
    known_rows,
    read_head,
    require_sizes,
    require_unique,
    rows_of,
)
from lvistk.evaluation.growing import Growing
from lvistk.evaluation.results_json import read_blocks
from lvistk.json_input.segmentation import Unfit, short

RECORD_BYTES, SPAN_BYTES = 128, 8
"""Estimated bytes of JSON per annotation and per span, for preallocation; most take more."""


def read_gt_json(path: Path, *, masks: bool, threads: int) -> GroundTruth:
    """The ground truth of an LVIS (or COCO) annotation file; ``masks`` False leaves the masks out.

    Raises ``UserError`` naming the file and the annotation for anything that is missing or impossible.
    """
    head = read_head(path)
    images, categories = head.images, head.categories
    image_ids = np.array([image.id for image in images], np.int64)
    category_ids = np.array([category.id for category in categories], np.int64)
    if masks:
        require_sizes(head)
    heights = np.array([image.height or 0 for image in images], np.int32)
    widths = np.array([image.width or 0 for image in images], np.int32)
    reader = _AnnotationReader(path, image_ids, category_ids, heights, widths, masks)
    annotations = reader.read(head, threads=threads)
    if annotations.boxless.any() and not masks:  # a box that the file lacks is that of the mask
        return read_gt_json(path, masks=True, threads=threads)
    negative = _lists([image.neg_category_ids for image in images], category_ids)
    not_exhaustive = _lists([image.not_exhaustive_category_ids for image in images], category_ids)
    arrays = arrange(
        annotations,
        image_ids=image_ids,
        heights=heights,
        widths=widths,
        category_ids=category_ids,
        negative=negative,
        not_exhaustive=not_exhaustive,
    )
    counts = [-1 if c.image_count is None else c.image_count for c in categories]
    return GroundTruth(
        arrays=arrays,
        names=tuple(category.name for category in categories),
        frequency=np.array([frequency_of(category, path) for category in categories], "<U1"),
        image_counts=np.array(counts, np.int64),
        has_masks=masks,
        areas_given=not annotations.computed.any(),
        warnings=gt_warnings(
            head,
            ids=annotations.ids,
            areas=annotations.areas,
            computed=int(annotations.computed.sum()),
            boxless=int(annotations.boxless.sum()),
            dropped=int(annotations.dropped.sum()),
        ),
    )


def _lists(lists: Sequence[list[int] | None], category_ids: np.ndarray) -> Lists:
    counts = [len(one) if one else 0 for one in lists]
    images = np.repeat(np.arange(len(lists)), counts)
    ids = np.array([category for one in lists if one for category in one], np.int64)
    rows = rows_of(ids, category_ids)
    return Lists(images[rows >= 0], rows[rows >= 0])


def _joined(parts: Iterator[Annotations], size: int) -> Annotations:
    """All parts, of ``size`` bytes of JSON, in order: each is copied while the next are made."""
    columns = [
        Growing(
            like.dtype, size // (SPAN_BYTES if "span_" in name else RECORD_BYTES), like.shape[1:]
        )
        for name, like in _NONE._asdict().items()
    ]
    for part in parts:
        for column, values in zip(columns, part, strict=True):
            column.add(values)
    return Annotations(*(column.filled() for column in columns))


_NUMBERS, _SPANS = np.zeros(0, np.int64), np.zeros(0, np.uint32)
_NONE = Annotations(
    ids=_NUMBERS,
    images=_NUMBERS,
    categories=_NUMBERS,
    areas=np.zeros(0),
    computed=np.zeros(0, bool),
    boxless=np.zeros(0, bool),
    dropped=_NUMBERS,
    boxes=np.zeros((0, 4)),
    ignored=np.zeros(0, bool),
    span_counts=_NUMBERS,
    span_starts=_SPANS,
    span_stops=_SPANS,
    mask_areas=_NUMBERS,
    mask_boxes=np.zeros((0, 4), np.int32),
)


def no_text(text: str) -> int:
    raise Unfit(f"image_id {short(text)} is text; write the image's id, a whole number")


class _AnnotationReader:
    """Reads annotation records against the images and categories of the file."""

    def __init__(
        self,
        path: Path,
        image_ids: np.ndarray,
        category_ids: np.ndarray,
        heights: np.ndarray,
        widths: np.ndarray,
        masks: bool,
    ) -> None:
        self.path, self.masks = path, masks
        self.image_ids, self.category_ids = image_ids, category_ids
        self.heights, self.widths = heights, widths

    def read(self, head: Head, *, threads: int) -> Annotations:
        """All annotations of the file in its order."""
        first, last = head.annotations
        whole = read_blocks(
            head.text,
            self._convert,
            partial(_joined, size=last - first),
            threads=threads,
            masks=self.masks,
            image_of=no_text,
            annotations=head.annotations,
        )
        require_unique(np.sort(whole.ids), path=self.path, what="annotation")
        return whole

    def _convert(self, block: Block) -> Annotations:
        images, categories = known_rows(block, self.path, self.image_ids, self.category_ids)
        n = len(block.ids)
        masked = slice(n if self.masks else 0)
        spans = spans_of_block(block, self.heights[images[masked]], self.widths[images[masked]])
        if spans.code:
            raise bad_mask(block, spans.row, spans.code, self.path)
        # copies: the block's arrays are overwritten while this thread reads its next one
        areas, computed = block.areas.copy(), block.has & HAS_AREA == 0
        boxes, boxless = block.boxes.copy(), block.has & HAS_BOX == 0
        if self.masks:
            boxes[boxless] = spans.boxes[boxless]
        sizes = spans.areas if self.masks else boxes[:, 2] * boxes[:, 3]
        areas[computed] = sizes[computed]
        return Annotations(
            ids=block.ids.copy(),
            images=images,
            categories=categories,
            areas=areas,
            computed=computed,
            boxless=boxless,
            dropped=block.dropped,
            boxes=boxes,
            ignored=block.ignored != 0,
            span_counts=spans.counts if self.masks else np.zeros(n, np.int64),
            span_starts=spans.starts,
            span_stops=spans.stops,
            mask_areas=spans.areas if self.masks else np.zeros(n, np.int64),
            mask_boxes=spans.boxes if self.masks else np.zeros((n, 4), np.int32),
        )
