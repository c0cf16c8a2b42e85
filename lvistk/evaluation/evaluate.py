"""The evaluation of one set of results against one ground truth instance: every score of
``metrics.json``."""

import os
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation.detections import Against, Detections, read_detections
from lvistk.evaluation.ground_truth.arrays import GroundTruth
from lvistk.evaluation.ground_truth.boundaries import boundary_gt, no_boundary
from lvistk.evaluation.ground_truth.cache import read_gt
from lvistk.evaluation.image_names import ImageNames
from lvistk.evaluation.left_out import warnings_of
from lvistk.evaluation.measure import Options
from lvistk.evaluation.outcome import CategoryTable, Outcome, assemble
from lvistk.evaluation.ranges import AREA_LABELS, Ranges
from lvistk.evaluation.scoring import Kind, Score, gt_ranges, score
from lvistk.evaluation.sources import (
    Source,
    areas_of,
    box_area,
    find_sources,
    mask_area,
)


class Results(NamedTuple):
    """Where detections are: ``main``, and ``boxes`` where the boxes are in a file of their own."""

    main: Path
    boxes: Path | None = None


@dataclass(frozen=True, eq=False)
class Evaluation(Outcome):
    """An outcome with all that reports and comparisons build on.

    ``scores`` are the ``tables`` with their rankings and matches; ``detections`` (by the same keys) the
    detections and pairs that each refers to; rows there are rows of the input in its order.
    """

    scores: dict[str, Score]
    detections: dict[str, Detections]
    gt: GroundTruth
    image_of: ImageNames


def evaluate(gt: Path, results: Results, settings: EvaluateSettings) -> Evaluation:
    """Evaluate ``results`` against the annotation file ``gt`` by the LVIS protocol.

    Equal to lvis-api 0.5.3 bit for bit. A score that nothing defines is None. An empty result gives 0.
    Raises ``UserError`` for anything wrong with the files, naming file and record.
    """
    with ThreadPoolExecutor(1) as later:
        return _evaluate(gt, results, settings, later)


def _evaluate(
    gt: Path, results: Results, settings: EvaluateSettings, later: Executor
) -> Evaluation:
    """``evaluate``; ``later`` takes what nobody waits for."""
    clock = _Clock()
    threads = settings.threads or os.cpu_count() or 1
    ranges = Ranges(tuple(settings.area_ratio_edges))
    sources = find_sources(results.main, results.boxes, settings.kinds)
    any_masks = any(source.masks for source in sources)
    known = read_gt(gt, masks=any_masks, threads=threads, later=later)
    clock.tick("gt")
    wants_boundary = settings.boundary and any(source.masks for source in sources)
    borders = boundary_gt(known, threads=threads) if wants_boundary else no_boundary()
    image_of = ImageNames(gt, refuse=settings.unknown_images == "refuse")
    against = Against(known.arrays, borders, ranges, image_of, settings.unknown_images, threads)
    measured = [_measure(source, against, settings) for source in sources]
    clock.tick("detections")
    scores, detections = _scores(sources, measured, known, ranges, settings, threads)
    clock.tick("scores")
    warnings = known.warnings + tuple(
        line
        for source, table in zip(sources, measured, strict=True)
        for line in warnings_of(
            source.path.name,
            table.left_out(),
            image_ids=known.arrays.image_ids,
            category_ids=known.arrays.category_ids,
        )
    )
    metrics = assemble(
        scores,
        frequency=known.frequency,
        ranges=ranges,
        max_detections=settings.max_detections,
        areas=areas_of(sources, settings),
        ratios_of_boxes=all(source.masks or not source.boxes for source in sources),
    )
    metrics["warnings"] = list(warnings)
    clock.tick("summary")
    categories = CategoryTable(
        known.arrays.category_ids, known.names, known.frequency, known.image_counts
    )
    return Evaluation(
        metrics=metrics,
        tables=scores,
        categories=categories,
        ranges=ranges,
        warnings=warnings,
        seconds=clock.seconds,
        scores=scores,
        detections=detections,
        gt=known,
        image_of=image_of,
    )


def _measure(source: Source, against: Against, settings: EvaluateSettings) -> Detections:
    options = Options(
        masks=source.masks,
        boxes=source.boxes,
        boundary=source.masks and settings.boundary,
        boxed=source.shape.boxes,
        mask_area_is_box=mask_area(source, settings) == "box",
        box_area_is_box=box_area(source, settings) == "box",
    )
    return read_detections(source, against=against, options=options)


def _scores(
    sources: list[Source],
    measured: list[Detections],
    gt: GroundTruth,
    ranges: Ranges,
    settings: EvaluateSettings,
    threads: int,
) -> tuple[dict[str, Score], dict[str, Detections]]:
    gt_out = gt_ranges(gt, ranges)
    tables = _tables(sources, settings)

    def one(table: tuple[str, Kind, bool]) -> tuple[Detections, Score]:
        _, kind, fixed = table
        chosen = next(i for i, s in enumerate(sources) if (s.boxes if kind == "bbox" else s.masks))
        plain = fixed or kind == "boundary" or not sources[chosen].masks
        return measured[chosen], score(
            measured[chosen],
            kind=kind,
            gt=gt,
            gt_out=gt_out,
            range_count=len(AREA_LABELS) if plain else len(ranges),
            per_image=0 if fixed else settings.max_detections,
            per_category=settings.fixed_detections if fixed else 0,
            threads=threads,
        )

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(one, tables))
    names = [name for name, _, _ in tables]
    detections, scores = (
        dict(zip(names, column, strict=True)) for column in zip(*results, strict=True)
    )
    return scores, detections


def _tables(sources: list[Source], settings: EvaluateSettings) -> list[tuple[str, Kind, bool]]:
    """Name, kind, and whether it is AP-fixed, of every table of scores."""
    wanted: dict[Kind, bool] = {
        "segm": any(source.masks for source in sources),
        "bbox": any(source.boxes for source in sources),
    }
    kinds: list[Kind] = [kind for kind, there in wanted.items() if there]
    tables: list[tuple[str, Kind, bool]] = [(kind, kind, False) for kind in kinds]
    if wanted["segm"] and settings.boundary:
        tables.append(("boundary", "boundary", False))
    if settings.fixed:
        tables.extend((f"{kind}_fixed", kind, True) for kind in kinds)
    return tables


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def tick(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
