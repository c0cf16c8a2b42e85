"""The whole evaluation in plain numpy and pycocotools: slow, short, without compiled code of our own.

The oracle beside lvis-api that tests hold the fast engine against, and the fallback where numba cannot run
(``engine = "reference"``). It takes whole files into memory; the rules are those of ``docs/evaluate.md``.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from lvistk.config.stages import EvaluateSettings
from lvistk.data.detection_store import DetectionStore, is_detection_store
from lvistk.errors import UserError
from lvistk.evaluation.outcome import CategoryTable, Outcome, Table, assemble
from lvistk.evaluation.plain_records import (
    box_of,
    coco_mask,
    mask_of_record,
    parse_array,
    results_of,
)
from lvistk.evaluation.ranges import AREA_RANGES, IOU_THRESHOLDS, RECALL_THRESHOLDS, Ranges
from lvistk.evaluation.records import BAD_COUNTS, OK
from lvistk.evaluation.truth_head import (
    Category,
    Image,
    bad_mask,
    frequency_of,
    known_rows,
    read_head,
    require_unique,
    truth_warnings,
)

DILATION_RATIO = 0.02


class Thing(NamedTuple):
    """A truth or a detection: ids, box x, y, width, height, RLE (None without masks), the area that it
    is judged by, score, whether the file says ignore, and its place in the file."""

    image: int
    category: int
    box: list[float]
    rle: dict[str, Any] | None
    area: float
    score: float
    ignore: bool
    id: int

    def out(self, ranges: Ranges) -> np.ndarray:
        """(R,) bool: outside of each range."""
        found = [self.area < low or self.area > high for low, high in AREA_RANGES]
        ends = ranges.ratio_ends
        if self.rle is None:
            return np.array(found + [False] * (len(ends) - 1))
        side = coco_mask.toBbox(self.rle)
        ratio = float(coco_mask.area(self.rle)) / max(side[2] * side[3], 1)
        for k in range(len(ends) - 1):
            last = k == len(ends) - 2
            found.append(ratio < ends[k] or (ratio >= ends[k + 1] and not last))
        return np.array(found)


class World(NamedTuple):
    """The truth file's content, by id; categories and their ``frequency (C,)`` by ascending id."""

    images: dict[int, Image]
    truths: dict[tuple[int, int], list[Thing]]
    categories: list[Category]
    frequency: np.ndarray
    warnings: tuple[str, ...]


def evaluate_plainly(
    truth: Path, results: Path, boxes: Path | None, settings: EvaluateSettings
) -> Outcome:
    """As ``evaluate``, with the same errors; but every mask is checked, judged or not."""
    started = time.perf_counter()
    ranges = Ranges(tuple(settings.area_ratio_edges))
    world = _read_truth(truth)
    by_kind, areas = _read_all(world, results, boxes, settings)
    shaped = boxes is None and all(thing.rle is not None for thing in by_kind["bbox"])
    tables: dict[str, Table] = {}
    for name, kind, fixed in _wanted(by_kind, settings):
        things = by_kind["bbox" if kind == "bbox" else "segm"]
        kept = _capped(
            things,
            key=(lambda t: t.category) if fixed else (lambda t: t.image),
            limit=settings.fixed_detections if fixed else settings.max_detections,
        )
        plain = fixed or kind == "boundary" or (kind == "bbox" and not shaped)
        count = len(AREA_RANGES) if plain else len(ranges)
        tables[name] = _table(world, kept, kind=kind, ranges=ranges, range_count=count)
    metrics = assemble(
        tables,
        frequency=world.frequency,
        ranges=ranges,
        max_detections=settings.max_detections,
        areas=areas,
        ratios_of_boxes=shaped,
    )
    metrics["warnings"] = list(world.warnings)
    categories = CategoryTable(
        ids=np.array([c.id for c in world.categories], np.int64),
        names=tuple(c.name for c in world.categories),
        frequency=world.frequency,
        train_images=np.array(
            [-1 if c.image_count is None else c.image_count for c in world.categories], np.int64
        ),
    )
    seconds = {"all": round(time.perf_counter() - started, 3)}
    return Outcome(metrics, tables, categories, ranges, world.warnings, seconds)


def _wanted(
    by_kind: dict[str, list[Thing]], settings: EvaluateSettings
) -> Iterator[tuple[str, str, bool]]:
    """Name, kind of IoU, and whether AP-fixed, of every table."""
    kinds = [kind for kind in ("segm", "bbox") if kind in by_kind and kind in settings.kinds]
    yield from ((kind, kind, False) for kind in kinds)
    if settings.boundary and "segm" in kinds:
        yield "boundary", "boundary", False
    if settings.fixed:
        yield from ((f"{kind}_fixed", kind, True) for kind in kinds)


def _read_truth(path: Path) -> World:
    head = read_head(path)
    text, records, numbers = parse_array(head.array)
    ids = [np.array([one.id for one in some], np.int64) for some in (head.images, head.categories)]
    known_rows(records, path, *ids)
    require_unique(np.sort(records["id"]), path=path, what="annotation")
    images = {image.id: image for image in head.images}
    truths: dict[tuple[int, int], list[Thing]] = defaultdict(list)
    for record in records:
        number, category, id_ = (int(record[k]) for k in ("image_id", "category_id", "id"))
        image = images[number]
        found, code = mask_of_record(text, record, numbers)
        foreign = isinstance(found, dict) and found["size"] != [image.height, image.width]
        if code != OK or foreign:
            raise bad_mask(record, code or BAD_COUNTS, path)
        area = float(record["area"])
        if not 0 < area < np.inf:
            continue
        rle = None if found is None else _rle(found, image)
        truths[number, category].append(
            Thing(number, category, box_of(record), rle, area, 0.0, bool(record["ignore"]), id_)
        )
    frequency = [frequency_of(category, path) for category in head.categories]
    warnings = truth_warnings(head, ids=records["id"], areas=records["area"])
    return World(images, truths, head.categories, np.array(frequency, "<U1"), warnings)


def _rle(segmentation: dict[str, Any] | list[list[float]], image: Image) -> dict[str, Any]:
    if isinstance(segmentation, list):
        parts = coco_mask.frPyObjects(segmentation, image.height, image.width)
        return coco_mask.merge(parts)
    return segmentation


def _read_all(
    world: World, results: Path, boxes: Path | None, settings: EvaluateSettings
) -> tuple[dict[str, list[Thing]], dict[str, str]]:
    """Detections by kind (``segm``, ``bbox``), and the area that each kind goes by."""
    if is_detection_store(results):
        masks, plain = _read_store(results)
    else:
        masks = plain = results_of(results)
    if boxes is not None:
        plain = results_of(boxes)
    by_kind: dict[str, list[Thing]] = {}
    areas: dict[str, str] = {}
    for kind, path, records in (("segm", results, masks), ("bbox", boxes or results, plain)):
        if kind == "segm" and records and "segmentation" not in records[0]:
            continue
        area = "box" if records and "bbox" in records[0] else "mask"
        if settings.area != "official" and (kind == "segm" or settings.area == "box"):
            area = settings.area
        areas[kind] = area
        by_kind[kind] = _things(world, path, records, area=area, settings=settings)
    return by_kind, areas


def _read_store(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records of the two results files that a store stands for."""
    masks: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    store = DetectionStore.open(path)
    for row in range(len(store)):
        found = store[row]
        for k in range(len(found)):
            x1, y1, x2, y2 = (float(v) for v in found.boxes[k])
            score = float(found.scores[k])
            one = {
                "image_id": found.image_id,
                "category_id": int(store.category_ids[found.labels[k]]),
                "score": score,
            }
            boxes.append({**one, "bbox": [x1, y1, x2 - x1, y2 - y1]})
            if found.masks is not None:
                rle = {"size": list(found.size), "counts": found.masks[k]}
                boxes[-1]["segmentation"] = rle
                ranked = score if found.mask_scores is None else float(found.mask_scores[k])
                masks.append({**one, "segmentation": rle, "score": ranked})
    return masks or boxes, boxes


def _things(
    world: World,
    path: Path,
    records: Sequence[dict[str, Any]],
    *,
    area: str,
    settings: EvaluateSettings,
) -> list[Thing]:
    things = []
    for place, one in enumerate(records):
        image = world.images.get(one["image_id"])
        if image is None:
            if settings.unknown_images == "refuse":
                raise UserError(
                    f"{path}: detection {place + 1} (image_id {one['image_id']}, category_id "
                    f"{one['category_id']}): the truth has no such image; give the matching "
                    "truth, or set evaluate.unknown_images=drop to leave such detections out"
                )
            continue
        segmentation = one.get("segmentation")
        if segmentation is None and "segmentation" in records[0]:
            x, y, w, h = one["bbox"]
            segmentation = [[x, y, x, y + h, x + w, y + h, x + w, y]]
        rle = None if segmentation is None else _rle(segmentation, image)
        box = one["bbox"] if "bbox" in one else coco_mask.toBbox(rle).tolist()
        size = box[2] * box[3] if area == "box" else float(coco_mask.area(rle))
        things.append(
            Thing(
                one["image_id"], one["category_id"], box, rle, size, one["score"], False, place + 1
            )
        )
    return things


def _capped(things: list[Thing], *, key: Any, limit: int) -> list[Thing]:
    """The best ``limit`` of each group (0: all), in the order of the file."""
    groups = defaultdict(list)
    for thing in things:
        groups[key(thing)].append(thing)
    kept = [
        thing
        for group in groups.values()
        for thing in (sorted(group, key=lambda t: -t.score)[:limit] if limit else group)
    ]
    return sorted(kept, key=lambda t: t.id)


def _boundary(rle: dict[str, Any]) -> dict[str, Any]:
    """The mask without its erosion by DILATION_RATIO of the diagonal (arXiv 2103.16562)."""
    whole = coco_mask.decode(rle)
    d = max(round(DILATION_RATIO * float(np.hypot(*whole.shape))), 1)
    inside = cv2.erode(np.pad(whole, 1), np.ones((3, 3), np.uint8), iterations=d)[1:-1, 1:-1]
    return coco_mask.encode(np.asfortranarray(whole - inside))


def _ious(found: list[Thing], truths: list[Thing], kind: str) -> np.ndarray:
    """(D, G) IoUs."""
    if not found or not truths:
        return np.zeros((len(found), len(truths)))
    calm = [0] * len(truths)
    if kind == "bbox":
        return coco_mask.iou([d.box for d in found], [g.box for g in truths], calm)
    sides: list[list[Any]] = [[t.rle for t in some] for some in (found, truths)]
    ious = coco_mask.iou(*sides, calm)
    if kind == "boundary":
        edges = [[_boundary(rle) for rle in some] for some in sides]
        ious = np.minimum(ious, coco_mask.iou(*edges, calm))
    return ious


def _match(
    ious: np.ndarray, ignored: np.ndarray, ids: np.ndarray, out: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy matching at one threshold and range: (hits (D,), misses (D,)).

    ``ignored (G,)`` truths; ``out (D,)`` detections that are no false positives when unmatched.
    """
    free = np.ones(len(ids), bool)
    hits, misses = np.zeros(len(ious), bool), np.zeros(len(ious), bool)
    for d in range(len(ious)):
        best = -1
        for group in (np.flatnonzero(~ignored), np.flatnonzero(ignored)):
            allowed = group[free[group] & (ious[d, group] >= min(threshold, 1 - 1e-10))]
            if len(allowed):
                values = ious[d, allowed]
                best = int(allowed[np.flatnonzero(values == values.max())[-1]])
                break
        if best >= 0:
            free[best] = False
        matched = best >= 0 and ids[best] != 0
        ignore = (best >= 0 and ignored[best]) or (not matched and out[d])
        hits[d], misses[d] = matched and not ignore, not matched and not ignore
    return hits, misses


def _table(
    world: World, things: list[Thing], *, kind: str, ranges: Ranges, range_count: int
) -> Table:
    by_slot: dict[tuple[int, int], list[Thing]] = defaultdict(list)
    for thing in things:
        lists = world.images[thing.image].neg_category_ids or ()
        slot = (thing.image, thing.category)
        if 0 < thing.area < np.inf and (slot in world.truths or thing.category in lists):
            by_slot[slot].append(thing)
    categories = len(world.categories)
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), categories, range_count)
    precision, recall = np.full(shape, np.nan), np.full(shape[:1] + shape[2:], np.nan)
    truth_counts = np.zeros((categories, range_count), np.int64)
    judged = np.zeros(categories, np.int64)
    for c, category in enumerate(world.categories):
        parts = [
            _slot(world, by_slot[i, category.id], (i, category.id), kind, ranges, range_count)
            for i in sorted(world.images)
            if (i, category.id) in world.truths or (i, category.id) in by_slot
        ]
        if not parts:
            continue
        scores = np.concatenate([part[0] for part in parts])
        order = np.argsort(-scores, kind="stable")
        hits, misses = (np.concatenate([p[k] for p in parts], axis=2)[:, :, order] for k in (1, 2))
        truth_counts[c] = sum(part[3] for part in parts)
        judged[c] = len(scores)
        for r in np.flatnonzero(truth_counts[c]).tolist():
            for t in range(len(IOU_THRESHOLDS)):
                precision[t, :, c, r], recall[t, c, r] = _curve(
                    hits[t, r], misses[t, r], int(truth_counts[c, r])
                )
    return Table(precision, recall, truth_counts, judged)


def _slot(
    world: World,
    found: list[Thing],
    slot: tuple[int, int],
    kind: str,
    ranges: Ranges,
    range_count: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One image and category: scores (D,), hits and misses (T, R, D), truths that count (R,)."""
    truths = world.truths.get(slot, [])
    found = sorted(found, key=lambda t: -t.score)
    ious = _ious(found, truths, kind)
    ids = np.array([truth.id for truth in truths], np.int64)
    everywhere = slot[1] in (world.images[slot[0]].not_exhaustive_category_ids or ())
    ignored = np.array([t.out(ranges) | t.ignore for t in truths], bool).reshape(-1, len(ranges))
    out = np.array([d.out(ranges) | everywhere for d in found], bool).reshape(-1, len(ranges))
    hits = np.zeros((len(IOU_THRESHOLDS), range_count, len(found)), bool)
    misses = hits.copy()
    for t, threshold in enumerate(IOU_THRESHOLDS):
        for r in range(range_count):
            hits[t, r], misses[t, r] = _match(ious, ignored[:, r], ids, out[:, r], threshold)
    scores = np.array([d.score for d in found], np.float64)
    return scores, hits, misses, (~ignored[:, :range_count]).sum(axis=0)


def _curve(hits: np.ndarray, misses: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Precision (K,) and recall of one ranked list with ``count`` truths."""
    tp, fp = np.cumsum(hits).astype(np.float64), np.cumsum(misses).astype(np.float64)
    if not len(tp):
        return np.zeros(len(RECALL_THRESHOLDS)), 0.0
    best = np.maximum.accumulate((tp / (fp + tp + np.spacing(1)))[::-1])[::-1]
    places = np.searchsorted(tp / count, RECALL_THRESHOLDS, side="left")
    return np.append(best, 0.0)[places], float(tp[-1] / count)
