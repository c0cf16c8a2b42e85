"""The whole evaluation in plain numpy and pycocotools: slow, short, without compiled code of our own.

The oracle beside lvis-api that tests hold ``lvistk.evaluation`` against: lvis-api knows no boundary AP, no
AP-fixed, no area ratios and no detection stores. ``evaluation_input`` reads the files with the general JSON
parser of the package, never with the scanner, and ``evaluation_records`` turns a record into a pycocotools
mask. Whole files are taken into memory; the rules are those of ``docs/evaluate.md``.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation.outcome import CategoryTable, Outcome, Table, assemble
from lvistk.evaluation.ranges import AREA_RANGES, IOU_THRESHOLDS, RECALL_THRESHOLDS, Ranges
from lvistk.evaluation.sources import areas_of, find_sources
from tests.reference.evaluation_input import Thing, World, read_things, read_world
from tests.reference.evaluation_records import coco_mask

DILATION_RATIO = 0.02


def evaluate_plainly(
    gt: Path, results: Path, boxes: Path | None, settings: EvaluateSettings
) -> Outcome:
    """As ``evaluate``, with the same errors and warnings; but of a store that tells the areas of masks the
    fast engine reads, and so checks, only masks near a ground truth instance."""
    started = time.perf_counter()
    ranges = Ranges(tuple(settings.area_ratio_edges))
    sources = find_sources(results, boxes, settings.kinds)
    world = read_world(gt, masks=any(source.masks for source in sources))
    by_kind: dict[str, list[Thing]] = {}
    warnings = list(world.warnings)
    for source in sources:
        things, lines = read_things(source, world, settings)
        by_kind |= things
        warnings += lines
    shaped = all(source.masks or not source.boxes for source in sources)
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
        areas=areas_of(sources, settings),
        ratios_of_boxes=shaped,
    )
    metrics["warnings"] = warnings
    categories = CategoryTable(
        ids=np.array([c.id for c in world.categories], np.int64),
        names=tuple(c.name for c in world.categories),
        frequency=world.frequency,
        train_images=np.array(
            [-1 if c.image_count is None else c.image_count for c in world.categories], np.int64
        ),
    )
    seconds = {"all": round(time.perf_counter() - started, 3)}
    return Outcome(metrics, tables, categories, ranges, tuple(warnings), seconds)


def _wanted(
    by_kind: dict[str, list[Thing]], settings: EvaluateSettings
) -> Iterator[tuple[str, str, bool]]:
    """Name, kind of IoU, and whether AP-fixed, of every table."""
    kinds = [kind for kind in ("segm", "bbox") if kind in by_kind]
    yield from ((kind, kind, False) for kind in kinds)
    if settings.boundary and "segm" in kinds:
        yield "boundary", "boundary", False
    if settings.fixed:
        yield from ((f"{kind}_fixed", kind, True) for kind in kinds)


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


def _ious(found: list[Thing], gts: list[Thing], kind: str) -> np.ndarray:
    """(D, G) IoUs."""
    if not found or not gts:
        return np.zeros((len(found), len(gts)))
    calm = [0] * len(gts)
    if kind == "bbox":
        return coco_mask.iou([d.box for d in found], [g.box for g in gts], calm)
    sides: list[list[Any]] = [[t.rle for t in some] for some in (found, gts)]
    ious = coco_mask.iou(*sides, calm)
    if kind == "boundary":
        edges = [[_boundary(rle) for rle in some] for some in sides]
        ious = np.minimum(ious, coco_mask.iou(*edges, calm))
    return ious


def _match(
    ious: np.ndarray, ignored: np.ndarray, ids: np.ndarray, out: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy matching at one threshold and range: (hits (D,), misses (D,)).

    ``ignored (G,)`` ground truth instances; ``out (D,)`` detections that are no false positives
    when unmatched.
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
        if 0 < thing.area < np.inf:
            by_slot[thing.image, thing.category].append(thing)
    categories = len(world.categories)
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), categories, range_count)
    precision, recall = np.full(shape, np.nan), np.full(shape[:1] + shape[2:], np.nan)
    gt_counts = np.zeros((categories, range_count), np.int64)
    judged = np.zeros(categories, np.int64)
    for c, category in enumerate(world.categories):
        parts = [
            _slot(world, by_slot[i, category.id], (i, category.id), kind, ranges, range_count)
            for i in sorted(world.images)
            if (i, category.id) in world.gts or (i, category.id) in by_slot
        ]
        if not parts:
            continue
        scores = np.concatenate([part[0] for part in parts])
        order = np.argsort(-scores, kind="stable")
        hits, misses = (np.concatenate([p[k] for p in parts], axis=2)[:, :, order] for k in (1, 2))
        gt_counts[c] = sum(part[3] for part in parts)
        judged[c] = len(scores)
        for r in np.flatnonzero(gt_counts[c]).tolist():
            for t in range(len(IOU_THRESHOLDS)):
                precision[t, :, c, r], recall[t, c, r] = _curve(
                    hits[t, r], misses[t, r], int(gt_counts[c, r])
                )
    return Table(precision, recall, gt_counts, judged)


def _slot(
    world: World,
    found: list[Thing],
    slot: tuple[int, int],
    kind: str,
    ranges: Ranges,
    range_count: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One image and category: scores (D,), hits and misses (T, R, D), ground truth instances
    that count (R,)."""
    gts = world.gts.get(slot, [])
    found = sorted(found, key=lambda t: -t.score)
    ious = _ious(found, gts, kind)
    ids = np.array([gt.id for gt in gts], np.int64)
    everywhere = slot[1] in (world.images[slot[0]].not_exhaustive_category_ids or ())
    ignored = np.array([t.out(ranges) | t.ignore for t in gts], bool).reshape(-1, len(ranges))
    out = np.array([d.out(ranges) | everywhere for d in found], bool).reshape(-1, len(ranges))
    hits = np.zeros((len(IOU_THRESHOLDS), range_count, len(found)), bool)
    misses = hits.copy()
    for t, threshold in enumerate(IOU_THRESHOLDS):
        for r in range(range_count):
            hits[t, r], misses[t, r] = _match(ious, ignored[:, r], ids, out[:, r], threshold)
    scores = np.array([d.score for d in found], np.float64)
    return scores, hits, misses, (~ignored[:, :range_count]).sum(axis=0)


def _curve(hits: np.ndarray, misses: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Precision (K,) and recall of one ranked list with ``count`` ground truth instances."""
    tp, fp = np.cumsum(hits).astype(np.float64), np.cumsum(misses).astype(np.float64)
    if not len(tp):
        return np.zeros(len(RECALL_THRESHOLDS)), 0.0
    best = np.maximum.accumulate((tp / (fp + tp + np.spacing(1)))[::-1])[::-1]
    places = np.searchsorted(tp / count, RECALL_THRESHOLDS, side="left")
    return np.append(best, 0.0)[places], float(tp[-1] / count)
