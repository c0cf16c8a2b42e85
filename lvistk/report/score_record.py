"""What a ladder keeps of one evaluation, so that it can be compared with any other without its detections.

The scores themselves, and the same in a fixed number of resamples of the validation images. Which images a
resample has depends on its number alone, so two records subtract resample by resample, on whichever
machines their rows ran.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lvistk.errors import UserError
from lvistk.json_input.faults import JSON_ERRORS, json_fault
from lvistk.report.ladder import COLUMNS, STEP_COLUMNS, SeedStep
from lvistk.whole_file import whole_file

UNIT = 1e-4
"""What a resampled score counts in: hundredths of a point; rounding to them adds .004 points to an error, in
quadrature."""


class ScoreRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row and seed of a ladder.

    stage: name of the evaluation's folder, which says what was computed.
    metrics, gt: fingerprints of its metrics.json and of the ground truth.
    rules: settings that two evaluations must share to be compared. versions: of the packages.
    scores: ``report.ladder.COLUMNS``, shares of 1.
    resampled: STEP_COLUMNS but the gap, each a list over the resamples, in ``UNIT``; None is undefined.
    """

    row: str
    seed: int
    stage: str
    metrics: str
    gt: str
    rules: dict[str, Any]
    versions: dict[str, str]
    scores: dict[str, float | None]
    resampled: dict[str, list[int | None]]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.row}, seed {self.seed}"


def record_file(folder: Path, row: str, seed: int) -> Path:
    """Where the record of a row and seed lies."""
    return folder / f"{row}.seed{seed}.json"


def write_record(folder: Path, record: ScoreRecord) -> None:
    """Write it, a line for each field and for each list of resampled scores."""
    table = msgspec.to_builtins(record)
    lines = [f'"{key}": {_text(value)}' for key, value in table.items() if key != "resampled"]
    columns = [f'"{key}": {_text(value)}' for key, value in record.resampled.items()]
    lines.append('"resampled": {\n' + ",\n".join(columns) + "\n}")
    with whole_file(record_file(folder, record.row, record.seed)) as path:
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def read_record(folder: Path, row: str, seed: int) -> ScoreRecord | None:
    """The record of a row and seed; None where there is none.

    Raises ``UserError`` for a file that is no such record.
    """
    path = record_file(folder, row, seed)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        record = msgspec.json.decode(data, type=ScoreRecord)
    except JSON_ERRORS as error:
        fault = json_fault(data, error)
        raise UserError(f"{path}: no record of a ladder's scores: {fault}; remove it") from None
    columns = {name for name in STEP_COLUMNS if name != "gap"}
    whole = {*COLUMNS} == {*record.scores} and columns == {*record.resampled}
    if not whole or len({len(values) for values in record.resampled.values()}) > 1:
        raise UserError(
            f"{path}: no record of a ladder's scores: columns are missing or of different lengths; "
            "remove it, and report the row anew where it was run"
        )
    return record


def counted(values: np.ndarray) -> list[int | None]:
    """Resampled scores, shares of 1 with NaN where undefined, in ``UNIT``."""
    return [None if np.isnan(value) else round(float(value) / UNIT) for value in values]


def steps_between(before: ScoreRecord, after: ScoreRecord) -> Mapping[str, SeedStep]:
    """How far ``after`` is above ``before`` in each of STEP_COLUMNS, with the standard error over images.

    Raises ``UserError`` for records of different ground truth, rules or numbers of resamples.
    """
    for what, one, other in (
        ("ground truth", before.gt, after.gt),
        ("rules of evaluation", before.rules, after.rules),
        ("numbers of resamples", _samples(before), _samples(after)),
    ):
        if one != other:
            raise UserError(
                f"the records of {before.name} and of {after.name} have different {what}; remove the one "
                "that is old"
            )
    return {column: _step(before, after, column) for column in STEP_COLUMNS}


def _samples(record: ScoreRecord) -> int:
    return len(record.resampled["AP"])


def _step(before: ScoreRecord, after: ScoreRecord, column: str) -> SeedStep:
    a, b = before.scores[column], after.scores[column]
    if a is None or b is None:
        return SeedStep(None, None)
    steps = _resampled(after, column) - _resampled(before, column)
    steps = steps[~np.isnan(steps)]
    error = float(steps.std(ddof=1)) * UNIT if len(steps) > 1 else None
    return SeedStep(b - a, error)


def _resampled(record: ScoreRecord, column: str) -> np.ndarray:
    """(samples,) float64 in ``UNIT``, NaN where undefined; the gap is that of its own boxes and masks."""
    if column == "gap":
        return _array(record.resampled["box AP"]) - _array(record.resampled["AP"])
    return _array(record.resampled[column])


def _array(values: Sequence[int | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
