"""Chunks of annotations as arrays, with their masks parsed: what the index builder looks at together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec
import numpy as np

from lvistk.data.index.lvis_json import AnnotationRecord, RleRecord
from lvistk.json_input.faults import JSON_ERRORS, plain_message
from lvistk.json_input.segmentation import read_segmentation
from lvistk.masks.polygons import Polygons, starts
from lvistk.masks.rle import from_runs

MIN_POINTS = 3
"""Points that a polygon has at least."""
NO_BOX = (np.nan,) * 4
FAST_BYTES = 1 << 20
"""Segmentations of fewer bytes are read without the compiled reader, whose import takes longer."""


class Rle(msgspec.Struct, frozen=True):
    """A mask as compressed counts and its size (height, width)."""

    size: tuple[int, int]
    counts: bytes


@dataclass(eq=False)
class Masks:
    """Masks of N instances.

    polygons: of N instances; an instance with an RLE has none
    rle: N masks as RLE, None where there are polygons
    errors: kind of defect and reason, by instance, of masks that could not be parsed; those have neither
        polygon nor RLE
    dropped: number of parts that were left out beside good ones, by instance
    other_form: instances that are written neither as lists of coordinates nor as RLE
    """

    polygons: Polygons
    rle: list[Rle | None]
    errors: dict[int, tuple[str, str]]
    dropped: dict[int, int] = field(default_factory=dict)
    other_form: set[int] = field(default_factory=set)


@dataclass(eq=False)
class AnnotationChunk:
    """N annotations of one source, as the file has them.

    ids, image_ids, category_ids: (N,) int64
    boxes: (N, 4) float64 xyxy in pixels, NaN where the file has none
    areas: (N,) float64 in pixels, NaN where the file has none
    crowd: (N,) bool
    masks: the N masks, parsed
    """

    ids: np.ndarray
    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    masks: Masks

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, keep: np.ndarray) -> "AnnotationChunk":
        """Those of a boolean mask (N,)."""
        if keep.all():
            return self
        masks = self.masks
        parts = np.repeat(keep, np.diff(masks.polygons.instance_start))
        points = np.repeat(parts, np.diff(masks.polygons.part_start))
        indices = np.flatnonzero(keep).tolist()
        polygons = Polygons(
            points=masks.polygons.points[points],
            part_start=starts(np.diff(masks.polygons.part_start)[parts]),
            instance_start=starts(np.diff(masks.polygons.instance_start)[keep]),
        )
        errors = {new: masks.errors[old] for new, old in enumerate(indices) if old in masks.errors}
        dropped = {
            new: masks.dropped[old] for new, old in enumerate(indices) if old in masks.dropped
        }
        return AnnotationChunk(
            ids=self.ids[keep],
            image_ids=self.image_ids[keep],
            category_ids=self.category_ids[keep],
            boxes=self.boxes[keep],
            areas=self.areas[keep],
            crowd=self.crowd[keep],
            masks=Masks(polygons, [masks.rle[index] for index in indices], errors, dropped),
        )


def chunk_of(records: Sequence[AnnotationRecord]) -> AnnotationChunk:
    """Records of an annotation file as arrays; N = 0 gives empty ones."""
    xywh = np.array([r.bbox or NO_BOX for r in records], np.float64).reshape(-1, 4)
    areas = [r.area if r.area is not None and r.area > 0 else np.nan for r in records]
    return AnnotationChunk(
        ids=np.array([r.id for r in records], np.int64),
        image_ids=np.array([r.image_id for r in records], np.int64),
        category_ids=np.array([r.category_id for r in records], np.int64),
        boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        areas=np.array(areas, np.float64),
        crowd=np.array([r.iscrowd != 0 for r in records], bool),
        masks=parse_masks([r.segmentation for r in records]),
    )


def parse_masks(segmentations: Sequence[msgspec.Raw]) -> Masks:
    """Masks of the JSON values of N ``segmentation`` fields, in any form that ``json_input`` knows.

    Parts that are no polygons are left out where the instance has a good one.
    """
    return _without_bad_parts(_parse(segmentations))


def _parse(segmentations: Sequence[msgspec.Raw]) -> Masks:
    lengths = [memoryview(raw).nbytes for raw in segmentations]
    if sum(lengths) < FAST_BYTES:
        return _parse_slowly(segmentations, range(len(segmentations)))
    from lvistk.masks.polygon_text import scan_polygons

    numbers, part_length, part_count, plain = scan_polygons(segmentations)
    others = np.flatnonzero(~plain).tolist()
    rest = _parse_slowly(segmentations, others)
    odd = part_length % 2 != 0
    if odd.any() or rest.polygons.part_start[-1]:
        return _parse_slowly(segmentations, range(len(segmentations)))
    points = numbers.reshape(-1, 2)
    polygons = Polygons(points, starts(part_length // 2), starts(part_count))
    return Masks(polygons, rest.rle, rest.errors, rest.dropped)


def _parse_slowly(segmentations: Sequence[msgspec.Raw], indices: Sequence[int]) -> Masks:
    """The masks at ``indices`` of N, the others left empty, with a reason for each broken one."""
    decode = msgspec.json.Decoder(list[list[float]]).decode
    parts: list[list[list[float]]] = [[] for _ in segmentations]
    masks = Masks(Polygons.from_lists([]), [None] * len(segmentations), {})
    for index in indices:
        raw = segmentations[index]
        is_rle = bytes(memoryview(raw)[:1]) == b"{"
        try:
            if is_rle:
                masks.rle[index] = _rle(msgspec.json.decode(raw, type=RleRecord))
            else:
                parts[index] = decode(raw)
        except (*JSON_ERRORS, ValueError):
            try:
                _read_other_form(raw, index, masks, parts)
            except (*JSON_ERRORS, ValueError, OverflowError) as error:
                kind = "broken_rle" if is_rle else "degenerate_polygon"
                masks.errors[index] = (kind, f"segmentation: {plain_message(error)}")
    masks.polygons = _flat(parts, masks)
    return masks


def _read_other_form(
    raw: msgspec.Raw, index: int, masks: Masks, parts: list[list[list[float]]]
) -> None:
    """A mask that is not in COCO's two forms. Raises ``ValueError`` where it is in none."""
    mask = read_segmentation(msgspec.json.decode(raw))
    masks.other_form.add(index)
    if mask.rle is not None:
        masks.rle[index] = _rle(msgspec.convert(mask.rle, RleRecord))
    parts[index] = mask.polygons or []
    if mask.dropped:
        masks.dropped[index] = mask.dropped


def _without_bad_parts(masks: Masks) -> Masks:
    """The masks without parts of too few points or of numbers that are not finite, beside good parts.

    An instance whose parts are all single points is one polygon of these points.
    """
    polygons = masks.polygons
    lengths, part_counts = np.diff(polygons.part_start), np.diff(polygons.instance_start)
    good = lengths >= MIN_POINTS
    finite = np.isfinite(polygons.points).all(axis=1)
    if not finite.all():
        good[np.searchsorted(polygons.part_start, np.flatnonzero(~finite), side="right") - 1] = (
            False
        )
    if good.all():
        return masks
    owners = np.repeat(np.arange(len(polygons)), part_counts)  # (R,)
    good_counts = np.bincount(owners[good], minlength=len(polygons))
    single_counts = np.bincount(owners[lengths == 1], minlength=len(polygons))
    is_list_of_points = (single_counts == part_counts) & (part_counts >= MIN_POINTS)
    kept_points = good | (good_counts == 0)[owners]
    for index in owners[~kept_points].tolist():
        masks.dropped[index] = masks.dropped.get(index, 0) + 1
    first = np.zeros(len(lengths), bool)
    first[polygons.instance_start[:-1][part_counts > 0]] = True
    masks.other_form |= set(np.flatnonzero(is_list_of_points).tolist())
    joined = is_list_of_points[owners]
    kept_parts = kept_points & (~joined | first)
    new_lengths = np.where(joined & first, part_counts[owners], lengths)
    masks.polygons = Polygons(
        points=polygons.points[np.repeat(kept_points, lengths)],
        part_start=starts(new_lengths[kept_parts]),
        instance_start=starts(np.bincount(owners[kept_parts], minlength=len(polygons))),
    )
    return masks


def _flat(parts: list[list[list[float]]], masks: Masks) -> Polygons:
    """All parts as arrays; parts of an odd length are left out, or are the instance's error."""
    for index, instance in enumerate(parts):
        odd = [number for number, part in enumerate(instance) if len(part) % 2]
        if not odd:
            continue
        parts[index] = [part for part in instance if len(part) % 2 == 0]
        if any(len(part) >= 2 * MIN_POINTS for part in parts[index]):
            masks.dropped[index] = len(odd)
            continue
        length = len(instance[odd[0]])
        text = f"polygon {odd[0]} has {length} numbers, not pairs of x and y"
        masks.errors[index] = ("degenerate_polygon", text)
        parts[index] = []
    flat = [part for instance in parts for part in instance]
    lengths = np.array([len(part) for part in flat], np.int64)
    numbers = np.fromiter(chain.from_iterable(flat), np.float64, count=int(lengths.sum()))
    with np.errstate(over="ignore"):
        points = numbers.astype(np.float32).reshape(-1, 2)
    return Polygons(
        points=points,
        part_start=starts(lengths // 2),
        instance_start=starts([len(instance) for instance in parts]),
    )


def _rle(record: RleRecord) -> Rle:
    if not record.counts:  # a mask of no pixel, as some tools write it
        return Rle(record.size, from_runs([record.size[0] * record.size[1]], record.size))
    if isinstance(record.counts, str):
        return Rle(record.size, record.counts.encode("ascii"))
    return Rle(record.size, from_runs(record.counts, record.size))
