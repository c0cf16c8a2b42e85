"""Chunks of annotations as arrays, with their masks parsed: what the index builder looks at together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from lvistk.data.index.json_bytes import JSON_ERRORS, plain_message
from lvistk.data.index.lvis_json import AnnotationRecord, RleRecord
from lvistk.masks.polygons import Polygons, starts

OPENING_BRACE = ord("{")
FAST_BYTES = 1 << 20
"""Segmentations of fewer bytes are read without the compiled reader, whose import takes longer."""


class Rle(msgspec.Struct, frozen=True):
    """A mask as compressed counts and its size (height, width)."""

    size: tuple[int, int]
    counts: bytes


@dataclass(eq=False)
class Masks:
    """Masks of N instances: polygons, or an RLE where ``rle[n]`` is one (then it has no polygon).

    ``errors`` holds kind of defect and reason, by instance, of masks that could not be parsed; those
    have neither polygon nor RLE.
    """

    polygons: Polygons
    rle: list[Rle | None]
    errors: dict[int, tuple[str, str]]


@dataclass(eq=False)
class AnnotationChunk:
    """N annotations of one source, as they stand in the file.

    Fields: ``ids``, ``image_ids``, ``category_ids`` (N,) int64; ``boxes (N, 4)`` float64 xyxy;
    ``areas (N,)`` float64, NaN where the file has none; ``crowd (N,)`` bool; ``masks``.
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
        places = np.flatnonzero(keep).tolist()
        polygons = Polygons(
            points=masks.polygons.points[points],
            part_start=starts(np.diff(masks.polygons.part_start)[parts]),
            instance_start=starts(np.diff(masks.polygons.instance_start)[keep]),
        )
        errors = {new: masks.errors[old] for new, old in enumerate(places) if old in masks.errors}
        return AnnotationChunk(
            ids=self.ids[keep],
            image_ids=self.image_ids[keep],
            category_ids=self.category_ids[keep],
            boxes=self.boxes[keep],
            areas=self.areas[keep],
            crowd=self.crowd[keep],
            masks=Masks(polygons, [masks.rle[place] for place in places], errors),
        )


def chunk_of(records: Sequence[AnnotationRecord]) -> AnnotationChunk:
    """Records of an annotation file as arrays; N = 0 gives empty ones."""
    xywh = np.array([r.bbox for r in records], np.float64).reshape(-1, 4)
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
    """Masks of the JSON values of N ``segmentation`` fields."""
    lengths = [memoryview(raw).nbytes for raw in segmentations]
    if sum(lengths) < FAST_BYTES:
        return _parse_slowly(segmentations, range(len(segmentations)))
    from lvistk.masks.polygon_text import scan_polygons

    data = np.frombuffer(b"".join(segmentations), np.uint8)
    numbers, part_length, part_count, plain = scan_polygons(data, starts(lengths))
    others = np.flatnonzero(~plain).tolist()
    rest = _parse_slowly(segmentations, others)
    odd = part_length % 2 != 0
    if odd.any() or rest.polygons.part_start[-1]:
        return _parse_slowly(segmentations, range(len(segmentations)))
    points = numbers.reshape(-1, 2)
    polygons = Polygons(points, starts(part_length // 2), starts(part_count))
    return Masks(polygons, rest.rle, rest.errors)


def _parse_slowly(segmentations: Sequence[msgspec.Raw], places: Sequence[int]) -> Masks:
    """The masks at ``places`` of N, the others left empty, with a reason for each broken one."""
    decode = msgspec.json.Decoder(list[list[float]]).decode
    parts: list[list[list[float]]] = [[] for _ in segmentations]
    rle: list[Rle | None] = [None] * len(segmentations)
    errors: dict[int, tuple[str, str]] = {}
    for place in places:
        raw = segmentations[place]
        view = memoryview(raw)
        is_rle = len(view) > 0 and view[0] == OPENING_BRACE
        try:
            if is_rle:
                rle[place] = _rle(msgspec.json.decode(raw, type=RleRecord))
            else:
                parts[place] = decode(raw)
        except (*JSON_ERRORS, ValueError) as error:
            kind = "broken_rle" if is_rle else "degenerate_polygon"
            errors[place] = (kind, f"segmentation: {plain_message(error)}")
    return Masks(_flat(parts, errors), rle, errors)


def _flat(parts: list[list[list[float]]], errors: dict[int, tuple[str, str]]) -> Polygons:
    for place, instance in enumerate(parts):
        odd = [number for number, part in enumerate(instance) if len(part) % 2]
        if odd:
            length = len(instance[odd[0]])
            text = f"polygon {odd[0]} has {length} numbers, not pairs of x and y"
            errors[place] = ("degenerate_polygon", text)
            parts[place] = []
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
    if isinstance(record.counts, str):
        return Rle(record.size, record.counts.encode("ascii"))
    if sum(record.counts) != record.size[0] * record.size[1]:
        raise ValueError(f"the runs of the RLE do not add up to {record.size}")
    plain: Any = {"size": list(record.size), "counts": record.counts}  # stubs know compressed ones
    return Rle(record.size, coco_mask.frPyObjects(plain, *record.size)["counts"])
