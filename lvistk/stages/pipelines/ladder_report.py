"""``lvistk report`` of a ladder: ladder.md and ladder.json beside its stage folders."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lvistk import artifacts, console
from lvistk.comparison.compare import GAP, Comparison
from lvistk.config.load import to_table
from lvistk.errors import UserError
from lvistk.report.ladder import (
    COLUMNS,
    STEP_COLUMNS,
    RowResult,
    SeedStep,
    markdown,
    scores_of,
    spread,
    step_of,
)
from lvistk.stages.commands.compare import compare_sides, side_inputs
from lvistk.stages.pipelines.ladder import LadderRow, load_ladder
from lvistk.stages.pipelines.runner import is_done
from lvistk.whole_file import whole_file, write_json

SAMPLES = 300
"""Resamples of the validation images, for the standard error of a difference."""
COMPARISONS = "comparisons"
"""Folder of the differences that were computed, so that a report made again takes seconds."""
MOST_SEEDS = 100
COMPARED = {
    "box AP": ("bbox", "AP"),
    "gap": (GAP, "AP"),
    "AP < .25": ("segm_by_area_ratio", "0-0.25 AP"),
}
"""Table and name of a column's difference; other columns are of ``segm`` and have its names."""


def run(folders: Sequence[Path], out: Path | None, *, seeds: int | None, threads: int) -> Path:
    """Make the tables of the rows that are done; returns the Markdown file.

    seeds: seeds 0, 1, ... of this number; by default as many as any row has scores of. out: the Markdown
    file, by default ``ladder.md`` in the folder of the stages; ``ladder.json`` lies beside it. Raises
    ``UserError`` where no row is done.
    """
    if len(folders) > 1:
        raise UserError("report takes one ladder at a time: its rows are compared with each other")
    rows = load_ladder(folders[0], seeds=seeds or seeds_done(folders[0]))
    root = rows[0].seeds[0].out
    results = _results(rows, cache=root / COMPARISONS, threads=threads)
    if not any(one.seeds for one in results):
        raise UserError(f"{root}: no row is done; lvistk run {folders[0]} runs them")
    page = out or root / "ladder.md"
    text = "\n".join(markdown(results))
    with whole_file(page) as path:
        path.write_text(text + "\n", encoding="utf-8")
    write_json(page.with_suffix(".json"), _table(results))
    console.say(text)
    console.say(f"report: {page}, {page.with_suffix('.json')}")
    return page


def seeds_done(folder: Path) -> int:
    """The number of seeds of which some row has scores, at least 1."""
    for seeds in range(1, MOST_SEEDS):
        if not any(is_done(row.score(seeds - 1)) for row in load_ladder(folder, seeds=seeds)):
            return max(seeds - 1, 1)
    return MOST_SEEDS


def _results(rows: Sequence[LadderRow], *, cache: Path, threads: int) -> list[RowResult]:
    done_of = {
        row.name: [s for s in range(len(row.seeds)) if is_done(row.score(s))] for row in rows
    }
    named = {row.name: row for row in rows}
    results = []
    with console.progress("report: rows", len(rows)) as line:
        for row in rows:
            done = done_of[row.name]
            steps = {
                other: [
                    _steps(
                        named[other].score(seed).out,
                        row.score(seed).out,
                        cache=cache,
                        threads=threads,
                    )
                    for seed in done
                    if seed in done_of[other]
                ]
                for other in row.settings.over
            }
            scores = [_scores(row.score(seed).out) for seed in done]
            results.append(RowResult(row.name, row.settings, scores, steps))
            line.advance()
    return results


def _scores(folder: Path) -> dict[str, float | None]:
    return scores_of(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


def _steps(before: Path, after: Path, *, cache: Path, threads: int) -> dict[str, SeedStep]:
    """STEP_COLUMNS of one pair of evaluations, computed once per pair of metrics files."""
    known = "-".join(artifacts.fingerprint(one / "metrics.json")[:12] for one in (before, after))
    file = cache / f"{known}.json"
    if not file.is_file():
        compared = compare_sides(
            side_inputs(before),
            side_inputs(after),
            samples=SAMPLES,
            threads=threads or os.cpu_count() or 1,
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, _chosen(compared))
    table = json.loads(file.read_text(encoding="utf-8"))
    return {name: SeedStep(*table[name]) for name in STEP_COLUMNS}


def _chosen(compared: Comparison) -> dict[str, list[float | None]]:
    chosen: dict[str, list[float | None]] = {}
    for column in STEP_COLUMNS:
        table, name = COMPARED.get(column, ("segm", column))
        one = next(one for one in compared.scores[table] if one.name == name)
        chosen[column] = [one.difference, one.error]
    return chosen


def _table(results: Sequence[RowResult]) -> dict[str, Any]:
    return {"versions": artifacts.versions(), "rows": [_row(one) for one in results if one.seeds]}


def _row(result: RowResult) -> Mapping[str, Any]:
    return {
        "name": result.name,
        "row": to_table(result.settings),
        "scores": {
            c: {
                **spread([s[c] for s in result.seeds])._asdict(),
                "values": [s[c] for s in result.seeds],
            }
            for c in COLUMNS
        },
        "steps": {
            other: {c: step_of([s[c] for s in seeds])._asdict() for c in STEP_COLUMNS}
            for other, seeds in result.steps.items()
            if seeds
        },
    }
