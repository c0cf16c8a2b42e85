"""``lvistk compare``: is B better than A, and how sure is that."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lvistk import console
from lvistk.artifacts import MANIFEST, find_input, fingerprint, is_same_input, read_manifest
from lvistk.comparison.compare import Comparison, Difference, compare
from lvistk.comparison.side import Side, side_of
from lvistk.config.evaluation import EvaluateSettings
from lvistk.config.load import from_table, to_table
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.whole_file import write_json

SHOWN = 10
"""Categories listed that moved most in either direction; the JSON has all."""
RULES = ("max_detections", "area", "unknown_images", "area_ratio_edges", "fixed_detections")
"""Settings that both evaluations must share."""
TITLES = {
    "segm": "masks",
    "bbox": "boxes",
    "box_mask_gap": "boxes minus masks",
    "boundary": "boundaries",
    "segm_fixed": "masks, AP-fixed",
    "bbox_fixed": "boxes, AP-fixed",
    "segm_by_area_ratio": "by mask area over box area",
}


@dataclasses.dataclass(frozen=True)
class Inputs:
    """One of the two: its ground truth, its results, and the rules it was evaluated by."""

    name: str
    gt: Path
    results: Results
    settings: EvaluateSettings


def run(
    a: Path,
    b: Path,
    *,
    gt: Path | None = None,
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    boundary: bool = False,
    fixed: bool = False,
    unknown_images: Literal["refuse", "drop"] | None = None,
    threads: int = 0,
    out: Path | None = None,
) -> Comparison:
    """Print the differences of B to A with intervals, and write them to ``out`` (JSON).

    a, b: folders of ``evaluate`` stages or, with ``gt``, results as ``evaluate`` takes them
    gt: annotation file
    samples: resamples of the images
    seed: of the resamples
    level: confidence of the intervals, 0 to 1
    boundary, fixed: whether boundary AP and AP-fixed are compared too; each takes about as long again
    unknown_images: what is done with detections in images that are not in the ground truth, see
        ``EvaluateSettings``; only with ``gt``, folders have their own rule
    threads: 0 is one per core

    Raises ``UserError`` if the two have different ground truth or rules, or inputs have changed since.
    """
    if unknown_images is not None and gt is None:
        raise UserError(
            "--unknown-images is for results with --ground-truth; folders have their own rule"
        )
    unknown = unknown_images or "refuse"
    sides = (side_inputs(a, gt, unknown), side_inputs(b, gt, unknown))
    comparison = _compare(
        *sides,
        samples=samples,
        seed=seed,
        level=level,
        boundary=boundary,
        fixed=fixed,
        threads=threads,
    )
    table = _table(comparison, sides, samples=samples, seed=seed, level=level)
    if console.shows_json():
        console.say_json(table)
    else:
        _print(comparison, samples=samples, level=level)
    if out is not None:
        write_json(out, table)
        console.say(f"wrote {out}")
    return comparison


def _compare(
    a: Inputs,
    b: Inputs,
    *,
    samples: int,
    seed: int,
    level: float,
    boundary: bool,
    fixed: bool,
    threads: int,
) -> Comparison:
    """The differences of b to a, as ``run`` prints them; the same errors."""
    if samples < 2 or not 0 < level < 1:
        raise UserError("compare needs --samples of at least 2 and a --level between 0 and 1")
    _require_same(a, b)
    count = threads or os.cpu_count() or 1
    compared = [
        evaluated_side(one, name=name, boundary=boundary, fixed=fixed, threads=count)
        for name, one in zip("AB", (a, b), strict=True)
    ]
    return compare(*compared, samples=samples, seed=seed, level=level, threads=count)


def side_inputs(
    path: Path, gt: Path | None = None, unknown_images: Literal["refuse", "drop"] = "refuse"
) -> Inputs:
    """What ``compare`` is given of one of the two; errors as of ``run``."""
    if gt is not None:
        settings = EvaluateSettings(unknown_images=unknown_images)
        return Inputs(str(path), gt, Results(path), settings)
    if not (path / MANIFEST).is_file():
        raise UserError(
            f"{path}: not an evaluate stage; give the ground truth with --ground-truth for results"
        )
    manifest = read_manifest(path, strict=True)
    if manifest.get("command") != "evaluate":
        raise UserError(f"{path}: a {manifest.get('command')} stage; compare takes evaluate stages")
    inputs = manifest["inputs"]
    paths = {}
    for name in ("val", "detections", "boxes"):
        if name in inputs:
            paths[name] = find_input(path, inputs[name])
            if not is_same_input(paths[name], inputs[name]):
                raise UserError(f"{path}: {paths[name]} has changed since; run evaluate again")
    settings = from_table(EvaluateSettings, manifest["settings"], where=f"{path}/{MANIFEST}")
    return Inputs(
        str(path), paths["val"], Results(paths["detections"], paths.get("boxes")), settings
    )


def _require_same(a: Inputs, b: Inputs) -> None:
    if fingerprint(a.gt) != fingerprint(b.gt):
        raise UserError(
            f"{a.name} and {b.name} have different ground truth instances: {a.gt}, {b.gt}"
        )
    tables = [to_table(side.settings) for side in (a, b)]
    for name in RULES:
        if tables[0][name] != tables[1][name]:
            raise UserError(
                f"{a.name} and {b.name} were evaluated by different rules: {name} is "
                f"{tables[0][name]} and {tables[1][name]}"
            )


def evaluated_side(
    one: Inputs, *, name: str, boundary: bool = False, fixed: bool = False, threads: int
) -> Side:
    """Evaluate again what ``side_inputs`` found; warnings begin with ``name``."""
    settings = dataclasses.replace(one.settings, boundary=boundary, fixed=fixed, threads=threads)
    evaluation = evaluate(one.gt, one.results, settings)
    for line in evaluation.warnings:
        console.warn(f"{name}: {line}")
    return side_of(evaluation, fixed_detections=settings.fixed_detections, threads=threads)


def _print(comparison: Comparison, *, samples: int, level: float) -> None:
    columns = ("A", "B", "B - A", f"{100 * level:g}% interval", "error", "B ahead")
    console.say(f"differences in points, {samples} resamples of the images")
    for table, title in TITLES.items():
        if table in comparison.scores:
            console.table("", (title, *columns), [_row(one) for one in comparison.scores[table]])
    for table, rows in comparison.categories.items():
        moved = [one for one in rows if one.difference]
        moved.sort(key=lambda one: -abs(one.difference or 0.0))
        if moved:
            name = f"categories that moved most ({TITLES[table]})"
            console.table(name, ("", *columns), [_row(one) for one in moved[:SHOWN]])


def _row(one: Difference) -> Sequence[object]:
    points = [None if v is None else 100 * v for v in one[1:7]]
    a, b, difference, low, high, error = points
    interval = None if low is None or high is None else f"{low:+.2f} to {high:+.2f}"
    shown = None if difference is None else f"{difference:+.2f}"
    ahead = None if one.better is None else f"{one.better:.0%}"
    return (one.name, a, b, shown, interval, error, ahead)


def _table(
    comparison: Comparison, sides: Sequence[Inputs], *, samples: int, seed: int, level: float
) -> dict[str, Any]:
    return {
        "a": sides[0].name,
        "b": sides[1].name,
        "gt": str(sides[0].gt),
        "samples": samples,
        "seed": seed,
        "level": level,
        "scores": _listed(comparison.scores),
        "categories": _listed(comparison.categories),
    }


def _listed(tables: dict[str, list[Difference]]) -> dict[str, list[dict[str, Any]]]:
    return {table: [one._asdict() for one in rows] for table, rows in tables.items()}
