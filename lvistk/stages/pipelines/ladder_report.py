"""``lvistk report`` of a ladder: ladder.md, ladder.json and ladder.svg beside its stage folders.

A record (``report.score_record``) holds all that the tables need of a row and seed. It is made once from a
finished evaluation, and stands for it where the evaluation is not there.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvistk import artifacts, console
from lvistk.comparison.compare import resampled_scores
from lvistk.config.load import to_table
from lvistk.errors import UserError
from lvistk.report.ladder import (
    COLUMNS,
    STEP_COLUMNS,
    RowResult,
    markdown,
    scores_of,
    spread,
    step_of,
)
from lvistk.report.ladder_picture import steps_picture
from lvistk.report.score_record import (
    ScoreRecord,
    counted,
    read_record,
    record_file,
    steps_between,
    write_record,
)
from lvistk.stages.commands.compare import RULES, evaluated_side, side_inputs
from lvistk.stages.pipelines.ladder import LadderRow, chosen_rows, load_ladder
from lvistk.stages.pipelines.runner import is_done
from lvistk.whole_file import whole_file, write_json

SAMPLES = 300
"""Resamples of the validation images, for the standard error of a difference."""
RECORDS = "records"
"""Folder of the records beside the stages, where no other is named."""
MOST_SEEDS = 100
RESAMPLED = {
    "AP": ("segm", "AP"),
    "APr": ("segm", "APr"),
    "APc": ("segm", "APc"),
    "APf": ("segm", "APf"),
    "box AP": ("bbox", "AP"),
    "AP < .25": ("segm_by_area_ratio", "0-0.25 AP"),
}
"""Table and name of a column's resampled scores; the gap is the difference of two."""


def run(
    folders: Sequence[Path],
    out: Path | None,
    *,
    seeds: int | None,
    records: Path | None,
    only: Sequence[str] = (),
    threads: int,
) -> Path:
    """Make tables and picture of the rows that are done; returns the Markdown file.

    seeds: seeds 0, 1, ... of this number; by default as many as any row has scores of. out: the Markdown
    file, by default ``ladder.md`` in the folder of the stages; ``ladder.json`` and ``ladder.svg`` lie
    beside it. records: folder of the records, by default ``records`` in the folder of the stages; rows
    that were run elsewhere are taken from it. only: names of the rows to show; without any, all. Raises
    ``UserError`` where no row is done, or a name is of none.
    """
    if len(folders) > 1:
        raise UserError("report takes one ladder at a time: its rows are compared with each other")
    first = load_ladder(folders[0], seeds=1)
    root = first[0].seeds[0].out
    kept = records or root / RECORDS
    rows = load_ladder(folders[0], seeds=seeds or seeds_done(folders[0], kept))
    chosen = chosen_rows(rows, only)
    compared = {name for row in chosen for name in (row.name, *row.settings.over)}
    needed = [row for row in rows if row.name in compared]
    results = row_results(needed, _records(needed, kept, threads=threads or os.cpu_count() or 1))
    shown = [row.name for row in chosen]
    if not any(one.seeds for one in results if one.name in shown):
        raise UserError(f"{root}: no row is done; lvistk run {folders[0]} runs them")
    page = out or root / "ladder.md"
    text = "\n".join(markdown(results, shown))
    files = [page, page.with_suffix(".json")]
    with whole_file(page) as path:
        path.write_text(text + "\n", encoding="utf-8")
    write_json(files[1], _table([one for one in results if one.name in shown]))
    if picture := steps_picture(results, shown):
        files.append(page.with_suffix(".svg"))
        with whole_file(files[2]) as path:
            path.write_text(picture, encoding="utf-8")
    console.say(text)
    console.say(f"report: {', '.join(map(str, files))}")
    return page


def seeds_done(folder: Path, records: Path) -> int:
    """The number of seeds of which some row has scores, here or in ``records``, at least 1."""
    for seeds in range(1, MOST_SEEDS):
        if not any(
            record_file(records, row.name, seeds - 1).is_file() or is_done(row.score(seeds - 1))
            for row in load_ladder(folder, seeds=seeds)
        ):
            return max(seeds - 1, 1)
    return MOST_SEEDS


def row_results(
    rows: Sequence[LadderRow], records: Mapping[tuple[str, int], ScoreRecord]
) -> list[RowResult]:
    """Scores and steps of each row, by the records of rows and seeds; those without a record are left out."""
    results = []
    for row in rows:
        done = [seed for seed in range(len(row.seeds)) if (row.name, seed) in records]
        steps = {
            other: [
                steps_between(records[other, seed], records[row.name, seed])
                for seed in done
                if (other, seed) in records
            ]
            for other in row.settings.over
        }
        scores = [records[row.name, seed].scores for seed in done]
        results.append(RowResult(row.name, row.settings, scores, steps))
    return results


def _records(
    rows: Sequence[LadderRow], folder: Path, *, threads: int
) -> dict[tuple[str, int], ScoreRecord]:
    """By row and seed, what is known of it."""
    found = {}
    with console.progress("report: rows", len(rows)) as line:
        for row in rows:
            for seed in range(len(row.seeds)):
                record = _record(row, seed, folder, threads=threads)
                if record is not None:
                    found[row.name, seed] = record
            line.advance()
    return found


def _record(row: LadderRow, seed: int, folder: Path, *, threads: int) -> ScoreRecord | None:
    """Of the evaluation that is done here; else the one in ``folder``, if it is of the same settings."""
    plan = row.score(seed)
    known = read_record(folder, row.name, seed)
    if is_done(plan):
        if known is None or known.metrics != artifacts.fingerprint(plan.out / "metrics.json"):
            known = _measured(row, seed, threads=threads)
            write_record(folder, known)
    elif known is not None and known.stage != plan.out.name:
        console.warn(
            f"{record_file(folder, row.name, seed)}: of other settings than the row has now; left out"
        )
        return None
    return known


def _measured(row: LadderRow, seed: int, *, threads: int) -> ScoreRecord:
    """The record of a finished evaluation, which is made again for its resamples."""
    folder = row.score(seed).out
    inputs = side_inputs(folder)
    side = evaluated_side(inputs, name=f"{row.name}, seed {seed}", threads=threads)
    drawn = resampled_scores(side, samples=SAMPLES, seed=0, threads=threads)
    rules = to_table(inputs.settings)
    return ScoreRecord(
        row=row.name,
        seed=seed,
        stage=folder.name,
        metrics=artifacts.fingerprint(folder / "metrics.json"),
        gt=artifacts.fingerprint(inputs.gt),
        rules={name: rules[name] for name in RULES},
        versions={k: v for k, v in artifacts.versions().items() if k != "platform"},
        scores=scores_of(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))),
        resampled={
            column: counted(drawn.get(table, {}).get(name, np.full(SAMPLES, np.nan)))
            for column, (table, name) in RESAMPLED.items()
        },
    )


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
