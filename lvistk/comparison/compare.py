"""Paired differences of two results on one ground truth, with bootstrap confidence over images."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lvistk.comparison.bootstrap import BLOCK, draw_images, resampled_ap
from lvistk.comparison.outcomes import Outcomes
from lvistk.comparison.side import KINDS, RATIO, Scores, Side
from lvistk.errors import UserError

GAP = "box_mask_gap"
GROUPS = {"APr": "r", "APc": "c", "APf": "f"}
AT = {"AP50": 0, "AP75": 5}
"""Scores at one IoU threshold, by its index in ``IOU_THRESHOLDS``."""
NAMES = ("AP", *AT, *GROUPS)


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
    """``scores`` by table as in ``metrics.json``: ``segm``, ``bbox``, ``box_mask_gap``, ``boundary``,
    ``segm_fixed``, ``bbox_fixed`` with AP, AP50, AP75, APr, APc, APf each, and ``segm_by_area_ratio``
    with AP, AP50, AP75, box AP of each bucket; ``categories``: by table, a Difference for each category in
    the order of the ground truth."""

    scores: dict[str, list[Difference]]
    categories: dict[str, list[Difference]]


class _Drawn(NamedTuple):
    """Scores of each of D sides in every resample: AP, AP50, AP75 of each category (D, samples, 3, C)
    float32, and NAMES over the categories (D, samples, 6)."""

    categories: np.ndarray
    scores: np.ndarray


class _Sampling(NamedTuple):
    """How resamples are drawn, and how sure intervals are."""

    images: int
    samples: int
    seed: int
    level: float
    threads: int


def compare(a: Side, b: Side, *, samples: int, seed: int, level: float, threads: int) -> Comparison:
    """Differences between two evaluations of one ground truth by the same rules, in what both have.

    Each of ``samples`` resamples draws as many images as there are, with replacement, the same for both and
    for all scores. The values and differences are those of the evaluations themselves, the intervals
    percentiles of the resampled differences. A category without ground truth instances in a resample
    is undefined there.
    The box-mask gap of a resample is that of its own box and mask scores; the limit of AP-fixed falls in
    each resample where an evaluation of its images would put it.
    """
    if not np.array_equal(a.gt_ids, b.gt_ids):
        raise UserError(
            "the two evaluations have different ground truth instances; differences would mean nothing"
        )
    how = _Sampling(a.images, samples, seed, level, threads)
    scores: dict[str, list[Difference]] = {}
    categories: dict[str, list[Difference]] = {}
    drawn_scores: dict[str, np.ndarray] = {}
    for name in [name for name in a.parts if name in b.parts]:
        pair = (a.parts[name], b.parts[name])
        drawn = _resample([part.outcomes for part in pair], a.frequency, how)
        table, prefix = _placed(name)
        scores.setdefault(table, []).extend(_differences(
            pair[0].values, pair[1].values, drawn.scores, how, prefix=prefix,
        ))  # fmt: skip
        if name in KINDS:
            drawn_scores[name] = drawn.scores
            pairs = zip(a.categories[name], b.categories[name], strict=True)
            categories[name] = [
                _difference(a.names[c], mine, theirs, drawn.categories[:, :, 0, c], level)
                for c, (mine, theirs) in enumerate(pairs)
            ]
    if RATIO in scores:
        scores[RATIO].sort(key=lambda one: a.ratio_labels.index(one.name.split(" ")[0]))
    if a.gap and b.gap:
        gaps = drawn_scores["bbox"] - drawn_scores["segm"]
        scores[GAP] = _differences(a.gap, b.gap, gaps, how)
    return Comparison(scores, categories)


def resampled_scores(
    side: Side, *, samples: int, seed: int, threads: int
) -> dict[str, dict[str, np.ndarray]]:
    """The scores of one evaluation in every resample of its images: by table as in ``Comparison`` (without
    the gap) and name, (samples,) float64, NaN where undefined.

    The images of a resample depend on seed and number alone. The difference of two evaluations of the
    same images is therefore that of their resampled scores, wherever and whenever each was made.
    """
    how = _Sampling(side.images, samples, seed, 0.0, threads)
    tables: dict[str, dict[str, np.ndarray]] = {}
    for name, part in side.parts.items():
        table, prefix = _placed(name)
        drawn = _resample([part.outcomes], side.frequency, how).scores[0]
        tables.setdefault(table, {}).update({
            prefix + one: drawn[:, k] for k, one in enumerate(NAMES) if one in part.values
        })  # fmt: skip
    return tables


def _placed(part: str) -> tuple[str, str]:
    """Table and prefix of the names of a side's part: ``segm``, or ``segm_by_area_ratio`` and the bucket."""
    table, _, label = part.partition(" ")
    return (RATIO, f"{label} {'' if table == 'segm' else 'box '}") if label else (table, "")


def _resample(sides: Sequence[Outcomes], frequency: np.ndarray, how: _Sampling) -> _Drawn:
    drawn = np.empty((len(sides), how.samples, 1 + len(AT), len(frequency)), np.float32)

    def block(first: int) -> None:
        last = min(first + BLOCK, how.samples)
        weights = [draw_images(how.images, seed=how.seed, sample=s) for s in range(first, last)]
        for side, known in enumerate(sides):
            ap = resampled_ap(known, np.stack(weights))  # (S, C, T)
            drawn[side, first:last, 0] = ap.mean(axis=2)
            for column, threshold in enumerate(AT.values(), 1):
                drawn[side, first:last, column] = ap[:, :, threshold]

    with ThreadPoolExecutor(how.threads) as pool:
        list(pool.map(block, range(0, how.samples, BLOCK)))
    groups = [drawn[:, :, 0][:, :, frequency == letter] for letter in GROUPS.values()]
    columns = [*(drawn[:, :, row] for row in range(1 + len(AT))), *groups]
    return _Drawn(drawn, np.stack([_means(column) for column in columns], axis=2))


def _differences(
    a: Scores, b: Scores, drawn: np.ndarray, how: _Sampling, *, prefix: str = ""
) -> list[Difference]:
    """Those of NAMES that both have, with ``drawn`` (2, samples, 6) of them."""
    return [
        _difference(prefix + name, a[name], b[name], drawn[:, :, k], how.level)
        for k, name in enumerate(NAMES)
        if name in a and name in b
    ]


def _difference(
    name: str, a: float | None, b: float | None, drawn: np.ndarray, level: float
) -> Difference:
    """With the score of both in every resample, ``drawn`` (2, samples)."""
    if a is None or b is None:
        return Difference(name, a, b, None, None, None, None, None)
    steps = (drawn[1] - drawn[0]).astype(np.float64)
    steps = steps[~np.isnan(steps)]
    if len(steps) < 2:
        return Difference(name, a, b, b - a, None, None, None, None)
    low, high = np.quantile(steps, [(1 - level) / 2, (1 + level) / 2])
    better = float((steps > 0).mean() + 0.5 * (steps == 0).mean())
    error = float(steps.std(ddof=1))
    return Difference(name, a, b, b - a, float(low), float(high), error, better)


def _means(values: np.ndarray) -> np.ndarray:
    """Means of the defined values over the last axis; NaN where there is none."""
    defined = ~np.isnan(values)
    counts = defined.sum(axis=-1)
    sums = np.where(defined, values, 0).sum(axis=-1, dtype=np.float64)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
