"""The evaluation of one set of results against one truth: every score of ``metrics.json``."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lvistk.config.stages import EvaluateSettings
from lvistk.data.detection_store import DetectionStore, is_detection_store
from lvistk.errors import UserError
from lvistk.evaluation.boundary_truth import boundary_truth, no_boundary
from lvistk.evaluation.collect import Detections
from lvistk.evaluation.measure import Options
from lvistk.evaluation.outcome import CategoryTable, Outcome, assemble
from lvistk.evaluation.ranges import AREA_LABELS, Ranges
from lvistk.evaluation.results_json import Against, Shape, read_results, shape_of
from lvistk.evaluation.results_store import read_store, store_shape
from lvistk.evaluation.scoring import Kind, Score, score, truth_ranges
from lvistk.evaluation.truth import Truth
from lvistk.evaluation.truth_cache import read_truth

NOTHING = Shape(boxes=True, masks=True)
"""An empty list of results is evaluated for masks and boxes: all scores are 0, where lvis-api crashes."""


class Results(NamedTuple):
    """Where detections are: ``main``, and ``boxes`` where the boxes are in a file of their own."""

    main: Path
    boxes: Path | None = None


class Source(NamedTuple):
    """One input file or store, what it has, and what of it is evaluated."""

    path: Path
    store: bool
    shape: Shape
    masks: bool
    boxes: bool


@dataclass(frozen=True, eq=False)
class Evaluation(Outcome):
    """An outcome with all that reports and comparisons build on.

    ``scores`` are the ``tables`` with their rankings and matches; ``detections`` (by the same keys) the
    detections and pairs that each refers to; rows there are rows of the input in its order.
    """

    scores: dict[str, Score]
    detections: dict[str, Detections]
    truth: Truth


def evaluate(truth: Path, results: Results, settings: EvaluateSettings) -> Evaluation:
    """Evaluate ``results`` against the annotation file ``truth`` by the LVIS protocol.

    Equal to lvis-api 0.5.3 bit for bit. A score that nothing defines is None. An empty result gives 0.
    Raises ``UserError`` for anything wrong with the files, naming file and record.
    """
    with ThreadPoolExecutor(1) as later:
        return _evaluate(truth, results, settings, later)


def _evaluate(
    truth: Path, results: Results, settings: EvaluateSettings, later: Executor
) -> Evaluation:
    """``evaluate``; ``later`` takes what nobody waits for."""
    clock = _Clock()
    threads = settings.threads or os.cpu_count() or 1
    ranges = Ranges(tuple(settings.area_ratio_edges))
    sources = find_sources(results, settings.kinds)
    any_masks = any(source.masks for source in sources)
    known = read_truth(truth, masks=any_masks, threads=threads, later=later)
    clock.tick("truth")
    wants_boundary = settings.boundary and any(source.masks for source in sources)
    borders = boundary_truth(known, threads=threads) if wants_boundary else no_boundary()
    against = Against(known.arrays, borders, ranges, settings.unknown_images, threads)
    measured = [_measure(source, against, settings) for source in sources]
    clock.tick("detections")
    scores, detections = _scores(sources, measured, known, ranges, settings, threads)
    clock.tick("scores")
    warnings = known.warnings + tuple(
        line
        for source, found in zip(sources, measured, strict=True)
        for line in _warnings(source, found)
    )
    metrics = assemble(
        scores,
        frequency=known.frequency,
        ranges=ranges,
        max_detections=settings.max_detections,
        areas=_areas(sources, settings),
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
        truth=known,
    )


def find_sources(results: Results, kinds: Sequence[str]) -> list[Source]:
    """The inputs and what is to be evaluated of each, at most ``kinds`` (``segm``, ``bbox``)."""
    if not kinds or set(kinds) - {"segm", "bbox"}:
        raise UserError(f"evaluate.kinds {list(kinds)}: give segm, bbox or both")
    main = _source(results.main, kinds)
    if results.boxes is None:
        if not main.masks and not main.boxes:
            raise UserError(f"{main.path}: has no masks, and evaluate.kinds asks for nothing else")
        return [main]
    boxes = _source(results.boxes, kinds)
    if not main.shape.masks:
        raise UserError(f"{main.path}: has no masks; with --boxes it should")
    sources = [main._replace(boxes=False), boxes._replace(masks=False)]
    return [source for source in sources if source.masks or source.boxes]


def _source(path: Path, kinds: Sequence[str]) -> Source:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if is_detection_store(path):
        shape = store_shape(DetectionStore.open(path))
        return Source(path, True, shape, shape.masks and "segm" in kinds, "bbox" in kinds)
    if path.is_dir():
        raise UserError(f"{path}: a folder without detections; give results JSON or a store")
    shape = shape_of(path) or NOTHING
    return Source(path, False, shape, shape.masks and "segm" in kinds, "bbox" in kinds)


def _measure(source: Source, against: Against, settings: EvaluateSettings) -> Detections:
    options = Options(
        masks=source.masks,
        boxes=source.boxes,
        boundary=source.masks and settings.boundary,
        boxed=source.shape.boxes,
        mask_area_is_box=mask_area(source, settings) == "box",
        box_area_is_box=box_area(source, settings) == "box",
    )
    read = read_store if source.store else read_results
    return read(source.path, against=against, options=options)


def mask_area(source: Source, settings: EvaluateSettings) -> str:
    """Which area a mask is judged by: ``mask`` or ``box``."""
    if settings.area != "official":
        return settings.area
    return "box" if source.shape.boxes and not source.store else "mask"


def box_area(source: Source, settings: EvaluateSettings) -> str:
    """Which area a box is judged by; results with masks only have the mask's, as in lvis-api."""
    return "box" if source.shape.boxes or settings.area == "box" else "mask"


def _areas(sources: list[Source], settings: EvaluateSettings) -> dict[str, str]:
    """Which area small, medium and large go by, of masks and of boxes."""
    areas: dict[str, str] = {}
    for source in sources:
        if source.masks:
            areas["segm"] = mask_area(source, settings)
        if source.boxes:
            areas["bbox"] = box_area(source, settings)
    return areas


def _scores(
    sources: list[Source],
    measured: list[Detections],
    truth: Truth,
    ranges: Ranges,
    settings: EvaluateSettings,
    threads: int,
) -> tuple[dict[str, Score], dict[str, Detections]]:
    truth_out = truth_ranges(truth, ranges)
    tables = _tables(sources, settings)

    def one(table: tuple[str, Kind, bool]) -> tuple[Detections, Score]:
        _, kind, fixed = table
        place = next(i for i, s in enumerate(sources) if (s.boxes if kind == "bbox" else s.masks))
        plain = fixed or kind == "boundary" or not sources[place].masks
        return measured[place], score(
            measured[place],
            kind=kind,
            truth=truth,
            truth_out=truth_out,
            range_count=len(AREA_LABELS) if plain else len(ranges),
            per_image=0 if fixed else settings.max_detections,
            per_category=settings.fixed_detections if fixed else 0,
            threads=threads,
        )

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(one, tables))
    names = [name for name, _, _ in tables]
    detections, scores = (
        dict(zip(names, column, strict=True)) for column in zip(*found, strict=True)
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


def _warnings(source: Source, found: Detections) -> list[str]:
    checks = (
        (found.unknown_categories(), "detections of categories that the truth has not"),
        (found.unknown_images(), "detections in images that the truth has not"),
        (found.foreign_sizes, "masks of another size than their image; they match nothing"),
    )
    return [f"{source.path.name}: {count} {what}" for count, what in checks if count]


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def tick(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
