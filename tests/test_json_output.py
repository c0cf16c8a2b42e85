"""Results as JSON on standard output, and nothing else there."""

import json
from pathlib import Path

import pytest

from lvistk import console
from lvistk.artifacts import StageFolder, Wanted
from tests.command_line import Commands
from tests.evaluation.worlds import annotation, both_result, image, world, write

BOX = (2, 2, 10, 10)


def only_json(out: list[str]) -> object:
    assert len(out) == 1, out
    return json.loads(out[0])


def test_status_and_pipelines(tmp_path: Path, lvistk: Commands) -> None:
    stage = StageFolder.open(tmp_path / "run" / "one", Wanted("evaluate", {}, {}))
    stage.finish(summary={"AP": 0.125, "APr": None}, outputs=[])
    rows = only_json(lvistk("status", tmp_path / "run", "--json").out)
    assert isinstance(rows, list) and rows[0]["age"] >= 0
    assert {key: rows[0][key] for key in ("stage", "command", "state", "scores")} == {
        "stage": "one",
        "command": "evaluate",
        "state": "done",
        "scores": {"AP": 0.125, "APr": None},
    }
    listed = only_json(lvistk("pipelines", "--json").out)
    assert isinstance(listed, list) and "htc_r50" in {one["name"] for one in listed}
    table = lvistk("status", tmp_path / "run")  # not JSON for good
    assert "12.5" in " ".join(table.out)


def test_evaluate_and_compare(tmp_path: Path, lvistk: Commands) -> None:
    gt, results = write(
        tmp_path, world([image(1)], [annotation(1, 1, 1, BOX)]), [both_result(1, 1, BOX, 0.5)]
    )
    plain = ("--set", "boundary=false", "--set", "fixed=false")
    done = lvistk("evaluate", gt, results, "--out", tmp_path / "a", "--json", *plain)
    assert only_json(done.out) == json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert any("finished in" in line for line in done.err)
    lvistk("evaluate", gt, results, "--out", tmp_path / "b", *plain)
    done = lvistk("compare", tmp_path / "a", tmp_path / "b", "--samples", 20, "--json")
    compared = only_json(done.out)
    assert isinstance(compared, dict) and compared["samples"] == 20


def test_a_table_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    console.use_json(True)
    try:
        console.table("scores", ("", "AP"), [("masks", 1.25), ("boxes", float("nan"))])
        console.say("a line")
    finally:
        console.use_json(False)
    out, err = capsys.readouterr()
    rows = [{"name": "masks", "AP": 1.25}, {"name": "boxes", "AP": None}]
    assert json.loads(out) == {"title": "scores", "rows": rows}
    assert err == "a line\n"
