"""Results JSON of any detector, measured against the ground truth while it is read."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from lvistk.evaluation.collect import Collector, Detections
from lvistk.evaluation.columns import NOWHERE
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.measure import Measured, Options, measure
from lvistk.evaluation.pairs import BoundaryGroundTruth
from lvistk.evaluation.ranges import Ranges
from lvistk.evaluation.results_json.json_records import Records, Unsplittable, map_sections
from lvistk.evaluation.results_json.records import COMPLAINTS, UNKNOWN_IMAGE, bad_detection
from lvistk.evaluation.results_json.sections import JsonArray, results_array

LEAST_BYTES = 64
"""Room is made for a detection in so many bytes of JSON; most take more."""


class Against(NamedTuple):
    """What detections are measured against, and how."""

    gt: GroundTruthArrays
    boundary: BoundaryGroundTruth
    ranges: Ranges
    unknown_images: Literal["refuse", "drop"]
    threads: int


def read_results(path: Path, *, against: Against, options: Options) -> Detections:
    """Measure every detection of the file.

    Raises ``UserError`` naming the file and the detection for one that cannot be evaluated.
    """
    array = results_array(path)
    work = partial(_measure_records, against=against, options=options)
    try:
        masks = options.masks or not options.boxed
        parts = map_sections(array, work, threads=against.threads, masks=masks)
        return _collect(array, parts, against)
    except Unsplittable:
        parts = map_sections(array, work, threads=1, whole=True)
        return _collect(array, parts, against)


class _Part(NamedTuple):
    measured: Measured
    suspect: np.void | None
    """The record that the code complains of, or the first of an unknown image."""
    place: int


def _measure_records(found: Records, *, against: Against, options: Options) -> _Part:
    measured = measure(
        found.text,
        found.records,
        found.numbers,
        gt=against.gt,
        boundary=against.boundary,
        ranges=against.ranges,
        options=options,
    )
    if measured.code:
        return _Part(measured, found.records[measured.place].copy(), measured.place)
    strange = measured.detections.image == NOWHERE
    if strange.any():
        place = int(np.argmax(strange))
        return _Part(measured, found.records[place].copy(), place)
    return _Part(measured, None, 0)


def _collect(array: JsonArray, parts: Iterator[_Part], against: Against) -> Detections:
    collector = Collector(expect=(array.last - array.first) // LEAST_BYTES)

    def sound() -> Iterator[Measured]:
        for part in parts:
            if part.suspect is not None:
                _judge(part, array.path, collector.used, against)
            yield part.measured

    return collector.add_all(sound())


def _judge(part: _Part, path: Path, before: int, against: Against) -> None:
    """Raise ``UserError`` for the suspect, unless it may be dropped."""
    record = part.suspect
    assert record is not None
    if part.measured.code or against.unknown_images == "refuse":
        complaint = COMPLAINTS.get(part.measured.code, UNKNOWN_IMAGE)
        raise bad_detection(path, before + part.place, record, complaint)
