"""Paired differences of two results on one truth, with bootstrap confidence over photos."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lvistk.errors import UserError
from lvistk.evaluation.comparison.bootstrap import (
    Outcomes,
    draw_photos,
    outcomes,
    resampled_ap,
)
from lvistk.evaluation.evaluate import Evaluation
from lvistk.evaluation.metrics import average

TABLES = ("segm", "bbox")
GROUPS = {"APr": "r", "APc": "c", "APf": "f"}
AT = {"AP50": 0, "AP75": 5}
"""Scores at one place of ``IOU_THRESHOLDS``."""


class Difference(NamedTuple):
    """One score of both, as fractions; ``difference`` is B minus A. None where undefined.

    ``low`` to ``high`` holds the difference with the wanted confidence, ``error`` is its standard error,
    ``better`` the share of the resamples in which B is ahead (ties count half).
    """

    name: str
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    error: float | None
    better: float | None


class Comparison(NamedTuple):
    """``scores``: AP, AP50, AP75, APr, APc, APf of masks, then of boxes (``box AP``); ``categories``: by
    table name, a Difference for each category in the order of the truth."""

    scores: list[Difference]
    categories: dict[str, list[Difference]]


def compare(
    a: Evaluation, b: Evaluation, *, samples: int, seed: int, level: float, threads: int
) -> Comparison:
    """Differences between two evaluations of the same truth under the same rules.

    Each of ``samples`` resamples draws as many photos as there are, with replacement, the same for both.
    The values and differences are those of the evaluations themselves, the intervals percentiles of
    the resampled differences. A category without truths in a resample is undefined there.
    """
    if not np.array_equal(a.truth.arrays.ids, b.truth.arrays.ids):
        raise UserError("the two evaluations have different truths; differences would mean nothing")
    scores: list[Difference] = []
    categories: dict[str, list[Difference]] = {}
    for table in TABLES:
        if table not in a.scores or table not in b.scores:
            continue
        pair = [
            outcomes(one.scores[table], one.detections[table].table, one.truth) for one in (a, b)
        ]
        drawn = _resample(pair, photos=len(a.truth.arrays.image_ids), samples=samples, seed=seed,
                          threads=threads)  # fmt: skip
        prefix = "" if table == "segm" else "box "
        scores += _group_differences(prefix, table, a, b, drawn, level)
        categories[table] = _category_differences(table, a, b, drawn, level)
    return Comparison(scores, categories)


def _resample(
    pair: Sequence[Outcomes], *, photos: int, samples: int, seed: int, threads: int
) -> np.ndarray:
    """AP, AP50, AP75 of every category in every resample: (2, samples, 3, C) float32."""
    categories = len(pair[0].first) - 1
    found = np.empty((2, samples, 1 + len(AT), categories), np.float32)

    def one(sample: int) -> None:
        weights = draw_photos(photos, seed=seed, sample=sample)
        for side, known in enumerate(pair):
            ap = resampled_ap(known, weights)  # (C, T)
            found[side, sample, 0] = ap.mean(axis=1)
            for place, threshold in enumerate(AT.values()):
                found[side, sample, 1 + place] = ap[:, threshold]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(samples)))
    return found


def _group_differences(
    prefix: str, table: str, a: Evaluation, b: Evaluation, drawn: np.ndarray, level: float
) -> list[Difference]:
    frequency = a.truth.frequency
    everywhere = np.ones(len(frequency), bool)
    wanted = [("AP", 0, everywhere)]
    wanted += [(name, 1 + place, everywhere) for place, name in enumerate(AT)]
    wanted += [(name, 0, frequency == letter) for name, letter in GROUPS.items()]
    return [
        _difference(
            prefix + name,
            a.metrics[table][name],
            b.metrics[table][name],
            _means(drawn[0, :, row][:, chosen]),
            _means(drawn[1, :, row][:, chosen]),
            level,
        )
        for name, row, chosen in wanted
    ]


def _category_differences(
    table: str, a: Evaluation, b: Evaluation, drawn: np.ndarray, level: float
) -> list[Difference]:
    values = [one.scores[table].precision[:, :, :, 0] for one in (a, b)]
    return [
        _difference(
            name,
            average(values[0][:, :, c]),
            average(values[1][:, :, c]),
            drawn[0, :, 0, c],
            drawn[1, :, 0, c],
            level,
        )
        for c, name in enumerate(a.truth.names)
    ]


def _difference(
    name: str,
    a: float | None,
    b: float | None,
    drawn_a: np.ndarray,
    drawn_b: np.ndarray,
    level: float,
) -> Difference:
    if a is None or b is None:
        return Difference(name, a, b, None, None, None, None, None)
    steps = (drawn_b - drawn_a).astype(np.float64)
    steps = steps[~np.isnan(steps)]
    if len(steps) < 2:
        return Difference(name, a, b, b - a, None, None, None, None)
    low, high = np.quantile(steps, [(1 - level) / 2, (1 + level) / 2])
    better = float((steps > 0).mean() + 0.5 * (steps == 0).mean())
    error = float(steps.std(ddof=1))
    return Difference(name, a, b, b - a, float(low), float(high), error, better)


def _means(values: np.ndarray) -> np.ndarray:
    """Means (samples,) of the defined values of each row; NaN for a row without."""
    defined = ~np.isnan(values)
    counts = defined.sum(axis=1)
    sums = np.where(defined, values, 0).sum(axis=1, dtype=np.float64)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
