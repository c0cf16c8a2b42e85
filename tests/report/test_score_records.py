"""Records of a ladder's scores: written and read, steps between them by hand, files that are none."""

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lvistk.errors import UserError
from lvistk.report.ladder import COLUMNS
from lvistk.report.score_record import (
    UNIT,
    ScoreRecord,
    counted,
    read_record,
    record_file,
    steps_between,
    write_record,
)


def record(row: str, ap: list[int | None], box: list[int | None]) -> ScoreRecord:
    return ScoreRecord(
        row=row,
        seed=1,
        stage="evaluate-12",
        metrics="blake2b:1",
        gt="blake2b:2",
        rules={"max_detections": 300},
        versions={"torch": "2.14.1"},
        scores=dict.fromkeys(COLUMNS, 0.25) | {"APr": None, "box AP": 0.3, "gap": 0.05},
        resampled=dict.fromkeys(("AP", "APr", "APc", "APf", "AP < .25"), ap) | {"box AP": box},
    )


A = record("a", [100, 200, None], [300, 300, 300])
B = record("b", [120, 240, 10], [310, 340, 300])


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "records", A)
    assert read_record(tmp_path / "records", "a", 1) == A
    assert read_record(tmp_path / "records", "a", 0) is None
    text = record_file(tmp_path / "records", "a", 1).read_text()
    assert json.loads(text)["resampled"]["AP"] == [100, 200, None]
    assert len(text.splitlines()) == 2 + 9 + len(A.resampled) + 1, "a line for each list"


def test_steps_are_the_differences_and_their_deviation_over_resamples() -> None:
    steps = steps_between(A, B)
    assert steps["AP"].difference == 0.0
    assert steps["AP"].error == pytest.approx(UNIT * math.sqrt(200)), (
        "of 20 and 40; one is undefined"
    )
    assert steps["gap"].error == pytest.approx(UNIT * math.sqrt(50)), "of 10 less and none"
    assert steps["APr"] == (None, None)


def test_one_defined_resample_gives_no_error() -> None:
    lone = record("a", [100, None, None], [300, None, None])
    assert steps_between(lone, lone)["AP"] == (0.0, None)


def test_scores_are_counted_in_hundredths_of_a_point() -> None:
    assert counted(np.array([0.12344, np.nan, 0.0])) == [1234, None, 0]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"gt": "blake2b:3"}, "ground truth"),
        ({"rules": {"max_detections": 100}}, "rules of evaluation"),
        ({"resampled": {name: [1] for name in A.resampled}}, "numbers of resamples"),
    ],
)
def test_records_that_cannot_be_compared_are_told(other: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=f"of a, seed 1 and of b, seed 1 have different {told}"):
        steps_between(A, msgspec.structs.replace(B, **other))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "broken or cut off"),
        ("{}", "missing required field 'row'"),
        (json.dumps({**msgspec.to_builtins(A), "scores": {}}), "columns are missing"),
        (
            json.dumps({**msgspec.to_builtins(A), "resampled": {**A.resampled, "AP": [1]}}),
            "of different lengths",
        ),
    ],
)
def test_a_file_that_is_no_record_is_told(tmp_path: Path, text: str, told: str) -> None:
    record_file(tmp_path, "a", 1).write_text(text)
    with pytest.raises(UserError, match=f"a.seed1.json: no record of a ladder's scores.*{told}"):
        read_record(tmp_path, "a", 1)
