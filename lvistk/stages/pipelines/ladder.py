"""A folder of pipeline files, the rows of a ladder of experiments: run for several seeds, share stages.

    lvistk run pipelines/ladder --seeds 3
    lvistk report pipelines/ladder --seeds 3

Rows are the folder's ``*.toml`` in the order of their names. What two rows have in common is one stage folder
(``shared_folders``), so that it is computed once. Several processes may climb the same ladder at once: one
passes over a row of which another is running a stage, and comes back to it later.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk import artifacts, console
from lvistk.artifacts import BusyError
from lvistk.config.load import nearest
from lvistk.config.row import RowSettings
from lvistk.errors import UserError
from lvistk.percent import percent_text
from lvistk.stages.pipelines.pipeline import SCORES, run_pipeline
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from lvistk.stages.pipelines.runner import is_done
from lvistk.stages.pipelines.shipped import FOLDER
from lvistk.stages.pipelines.stage_plan import StagePlan

WAIT_SECONDS = 20.0
"""How long a process waits when all that is left is being run by others."""


@dataclass(frozen=True)
class LadderRow:
    """One pipeline file of the ladder.

    name: of the file, without its suffix.
    seeds: the pipeline with seed 0, 1, ...
    """

    name: str
    seeds: tuple[Pipeline, ...]

    @property
    def settings(self) -> RowSettings:
        """What the file says of itself."""
        row = self.seeds[0].row
        assert row is not None  # load_ladder takes no other file
        return row

    def score(self, seed: int) -> StagePlan:
        """The evaluation whose scores are the row's."""
        return self.seeds[seed].stages[-1]


def is_ladder(path: Path) -> bool:
    """Whether ``path`` is a folder of pipeline files with tables ``[row]``."""
    return path.is_dir() and any(
        "[row]" in file.read_text(encoding="utf-8") for file in path.glob("*.toml")
    )


def find_ladder(path: Path) -> Path | None:
    """The folder of a ladder that ``path`` is, or the shipped one that it names (``ladder``,
    ``ladder/paper``) if there is no such path; None for anything else."""
    folder = path if path.exists() else FOLDER / path
    return folder if is_ladder(folder) else None


def load_ladder(
    folder: Path, *, seeds: int, assignments: Sequence[str] = (), out: Path | None = None
) -> list[LadderRow]:
    """Read and check every row, with seeds 0 to ``seeds`` - 1.

    Errors: ``UserError`` for a file without ``[row]`` or without an evaluation, for ``over`` that names
    no row, for rows with different ``out``, and for a seed among the assignments.
    """
    if any(text.partition("=")[0].strip() == "seed" for text in assignments):
        raise UserError("--set seed: a ladder runs seeds 0, 1, ...; give their number with --seeds")
    rows = [
        _row(path, seeds=seeds, assignments=assignments, out=out)
        for path in sorted(folder.glob("*.toml"))
    ]
    if not rows:
        raise UserError(f"{folder}: no pipeline files (*.toml) in this folder")
    names = [row.name for row in rows]
    for row in rows:
        for other in row.settings.over:
            if other not in names:
                raise UserError(f"{folder / row.name}.toml [row] over: no row '{other}' beside it")
    if len({row.seeds[0].out for row in rows}) > 1:
        raise UserError(f"{folder}: the rows have different 'out' folders; give them one")
    return rows


def _row(path: Path, *, seeds: int, assignments: Sequence[str], out: Path | None) -> LadderRow:
    pipelines = tuple(
        load_pipeline(path, assignments=[*assignments, f"seed={seed}"], out=out)
        for seed in range(seeds)
    )
    if pipelines[0].row is None:
        raise UserError(f"{path}: no table [row]; a file of a ladder says with it what it is")
    return LadderRow(path.stem, pipelines)


def chosen_rows(rows: Sequence[LadderRow], names: Sequence[str]) -> list[LadderRow]:
    """The rows of these names in this order, all of them without any; ``UserError`` for an unknown one."""
    known = {row.name: row for row in rows}
    for name in names:
        if name not in known:
            raise UserError(f"no row '{name}'{nearest(name, known)}")
    return [known[name] for name in names] or list(rows)


def distinct_stages(rows: Sequence[LadderRow]) -> list[StagePlan]:
    """Every stage of the rows once, in the order in which they run."""
    pipelines = [row.seeds[seed] for seed in range(len(rows[0].seeds)) for row in rows]
    return list({plan.out: plan for one in pipelines for plan in one.stages}.values())


def print_ladder(rows: Sequence[LadderRow], *, title: str) -> None:
    """One line per row and seed: the first stage that is not done, or the scores in percent; or JSON."""
    done = {plan.out for plan in distinct_stages(rows) if is_done(plan)}
    lines = [_status(row, seed, done) for seed in range(len(rows[0].seeds)) for row in rows]
    if console.shows_json():
        console.say_json(lines)
        return
    cells = [
        (one["row"], one["seed"], one["state"], *map(percent_text, map(one["scores"].get, SCORES)))
        for one in lines
    ]
    console.table(title, ("row", "seed", "state", *SCORES), cells, left=3)


def _status(row: LadderRow, seed: int, done: set[Path]) -> dict[str, Any]:
    left = [plan for plan in row.seeds[seed].stages if plan.out not in done]
    summary = {} if left else artifacts.read_manifest(row.score(seed).out)["summary"]
    return {
        "row": row.name,
        "seed": seed,
        "state": f"{left[0].name} is next" if left else "done",
        "scores": {name: summary.get(name) for name in SCORES},
    }


def run_ladder(rows: Sequence[LadderRow], *, device: str) -> None:
    """Run what is not done yet: all rows with the first seed, then all with the next.

    A row that fails is named, and the others go on. Errors: ``UserError`` at once where all rows lack data,
    and at the end where some failed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "a ladder runs in one process per device, not under torchrun: start lvistk run several times, "
            "with --device cuda:0, cuda:1, ..."
        )
    absent = [_absent_data(row.seeds[0]) for row in rows]
    if all(absent):
        raise UserError(f"{absent[0]}: no such file or folder, and no row runs without it")
    waiting = [(row, seed) for seed in range(len(rows[0].seeds)) for row in rows]
    failed: list[str] = []
    while waiting:
        busy = [one for one in waiting if not _run_row(*one, device=device, failed=failed)]
        if len(busy) == len(waiting):
            time.sleep(WAIT_SECONDS)
        waiting = busy
    if failed:
        raise UserError(f"not done: {', '.join(failed)}; see the messages above")


def _absent_data(pipeline: Pipeline) -> Path | None:
    """Data that are not there and that a stage which is not done reads; none that the pipeline makes."""
    for plan in pipeline.stages:
        given = [path for path in plan.read_paths if not path.is_relative_to(pipeline.out)]
        absent = [path for path in given if not path.exists()]
        if absent and not is_done(plan):
            return absent[0]
    return None


def _run_row(row: LadderRow, seed: int, *, device: str, failed: list[str]) -> bool:
    """Whether the row needs no more attention: done, or failed and noted in ``failed``."""
    console.say(f"row {row.name}, seed {seed}")
    try:
        run_pipeline(row.seeds[seed], device=device)
    except BusyError as error:
        console.say(f"row {row.name}, seed {seed}: {error}; later")
        return False
    except UserError as error:
        console.warn(f"row {row.name}, seed {seed}: {error}")
        failed.append(f"{row.name} (seed {seed})")
    return True
