"""Rows of a ladder: shared stage folders, what runs, what is left for later, and the tables."""

import dataclasses
import json
from pathlib import Path

import pytest

from lvistk.artifacts.lock import StageLock
from lvistk.config.load import expanded, shipped_name
from lvistk.errors import UserError
from lvistk.report.score_record import read_record
from lvistk.stages.pipelines import ladder
from lvistk.stages.pipelines.ladder import LadderRow, chosen_rows, load_ladder
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.shared_folders import shared_folder
from tests.command_line import Commands
from tests.data.small_data import small_index
from tests.stages.tiny_run import PIPELINE

FIRST = (
    PIPELINE.replace("epochs = 3", "epochs = 1")
    + """
[row]
title = "first row"
score = "score_first"
paper = {{ AP = 0.1, APr = 0.01 }}
[views]
short_edges = [64]
long_edge = 96
flip = false
[predict]
workers = 0
[stage.detect_first]
command = "tta-infer"
inputs = {{ model = "first" }}
[stage.score_first]
command = "evaluate"
inputs = {{ detections = "detect_first" }}
[stage.detect_second]
command = "tta-infer"
inputs = {{ model = "second" }}
[stage.score_second]
command = "evaluate"
inputs = {{ detections = "detect_second" }}
"""
)
SECOND = """
base = "1_first.toml"
[row]
title = "second row"
score = "score_second"
over = ["1_first"]
paper = { AP = 0.15, APr = 0.03 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ladder of two rows; the second one fine-tunes the model of the first."""
    small_index(tmp_path, count=12)
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "1_first.toml").write_text(FIRST.format(root=tmp_path))
    (rows / "2_second.toml").write_text(SECOND)
    return rows


def test_a_ladder_whose_data_are_not_there_ends_at_once(folder: Path, lvistk: Commands) -> None:
    (folder.parent / "train.json").rename(folder.parent / "elsewhere.json")
    done = lvistk("run", str(folder), "--out", "rows")
    assert done.error().endswith("train.json: no such file or folder, and no row runs without it")
    assert not any("row 1_first" in line for line in done.out)


def commands(row: LadderRow, seed: int = 0) -> list[str]:
    return [plan.command for plan in row.seeds[seed].stages]


def test_a_row_runs_only_what_its_score_needs(folder: Path) -> None:
    first, second = load_ladder(folder, seeds=1)
    assert commands(first) == ["train-repr", "tta-infer", "evaluate"]
    assert commands(second) == ["train-repr", "finetune", "tta-infer", "evaluate"]


def test_equal_stages_share_a_folder_and_others_do_not(folder: Path) -> None:
    first, second = load_ladder(folder, seeds=2)
    train = [row.seeds[0].stages[0].out for row in (first, second)]
    assert train[0] == train[1]
    assert train[0] != first.seeds[1].stages[0].out
    assert first.score(0).out != second.score(0).out
    changed = load_pipeline(folder / "2_second.toml", assignments=["second.optim.lr=0.5"])
    assert changed.stages[0].out == train[0]
    outs = {plan.out for plan in second.seeds[0].stages[1:]}
    assert not outs & {plan.out for plan in changed.stages[1:]}, "what comes after differs too"


def test_settings_that_cannot_change_a_result_move_no_folder(folder: Path) -> None:
    usual = load_pipeline(folder / "1_first.toml")
    other = load_pipeline(
        folder / "1_first.toml", assignments=["loop.log_steps=7", "loader.prefetch=3"]
    )
    assert [plan.out for plan in usual.stages] == [plan.out for plan in other.stages]


def test_a_ladder_runs_shares_and_reports(folder: Path, lvistk: Commands) -> None:
    """Rows one by one: the first trains, the second takes its model; a busy stage is passed over."""
    rows = load_ladder(folder, seeds=1)
    train, finetune = (rows[1].seeds[0].stages[k].out for k in (0, 1))
    finetune.mkdir(parents=True)
    lock = StageLock(finetune)
    failed: list[str] = []
    waiting = [(row, 0) for row in rows]
    done = [ladder._run_row(*one, device="cpu", failed=failed) for one in waiting]
    assert (done, failed) == ([True, False], [])
    lock.release()
    modified = (train / "model.safetensors").stat().st_mtime_ns
    run = lvistk("run", str(folder), "--device", "cpu")
    assert run.code == 0
    assert (train / "model.safetensors").stat().st_mtime_ns == modified
    assert any("2_second" in line and "done" in line for line in lvistk("status", str(folder)).out)
    assert any("first is next" in x for x in lvistk("status", str(folder), "--seeds", "2").out)
    assert lvistk("report", str(folder), "--threads", "1").code == 0
    root = rows[0].seeds[0].out
    text = (root / "ladder.md").read_text()
    assert "| 2 second row | 1 first row | 1 |" in text
    assert "| +5.0 | +2.0 |" in text, "the paper's step stands beside the measured one"
    table = json.loads((root / "ladder.json").read_text())
    scores = [json.loads((row.score(0).out / "metrics.json").read_text()) for row in rows]
    step = table["rows"][1]["steps"]["1_first"]["AP"]["mean"]
    assert step == pytest.approx(scores[1]["segm"]["AP"] - scores[0]["segm"]["AP"])

    kept = root / "records" / "2_second.seed0.json"
    assert read_record(kept.parent, "2_second", 0) is not None
    (rows[1].score(0).out / "metrics.json").write_text("{}")  # what `run` would refuse is not done
    assert any("score_second is next" in x for x in lvistk("status", str(folder)).out)
    kept.unlink()
    assert lvistk("report", str(folder), "--threads", "1").code == 0
    assert [row["name"] for row in json.loads((root / "ladder.json").read_text())["rows"]] == [
        "1_first"
    ]


def test_rows_that_were_run_elsewhere_are_taken_from_their_records(
    folder: Path, lvistk: Commands, tmp_path: Path
) -> None:
    """One machine trains and writes the records; another, with other paths, makes the same tables of them."""
    here, there, records = tmp_path / "here", tmp_path / "there", tmp_path / "records"
    assert lvistk("run", str(folder), "--device", "cpu", "--out", str(here)).code == 0
    moved = [str(folder), "--threads", "1", "--records", str(records), "--out"]
    for file in folder.glob("*.toml"):
        file.write_text(file.read_text().replace(f'"{tmp_path}/runs"', f'"{here}"'))
    assert lvistk("report", *moved, str(tmp_path / "first.md")).code == 0
    for file in folder.glob("*.toml"):
        file.write_text(file.read_text().replace(f'"{here}"', f'"{there}"'))
    assert lvistk("report", *moved, str(tmp_path / "second.md")).code == 0
    first, second = ((tmp_path / name).read_text() for name in ("first.md", "second.md"))
    assert first == second
    assert "2_second over 1_first" in (tmp_path / "second.svg").read_text()
    assert not there.exists()
    alone = lvistk("report", *moved, str(tmp_path / "alone.md"), "--only", "2_second")
    assert (alone.code, alone.out[-1].count("alone.")) == (0, 3)
    rows = [line.split(" | ")[0] for line in (tmp_path / "alone.md").read_text().splitlines()]
    assert rows == ["| row", "| ---", "| 2 second row", "", "| step", "| ---", "| 2 second row"]
    told = lvistk("report", *moved, str(tmp_path / "x.md"), "--only", "2_secnd").error()
    assert told == "no row '2_secnd'; did you mean '2_second'?"

    changed = folder / "2_second.toml"
    changed.write_text(changed.read_text() + "[stage.second.optim]\nlr = 0.5\n")
    told = lvistk("report", *moved, str(tmp_path / "third.md"))
    assert told.code == 0
    assert any("of other settings than the row has now" in line for line in told.err)
    assert "second row" not in (tmp_path / "third.md").read_text()


def test_a_file_that_ships_is_known_by_its_name(folder: Path) -> None:
    """An installation elsewhere gives the same folders."""
    plan = load_ladder(folder, seeds=1)[0].seeds[0].stages[0]
    shipped = expanded("lvistk:demo_detector")
    inputs = dataclasses.replace(plan.inputs, init=shipped)
    with_path = shared_folder(dataclasses.replace(plan, inputs=inputs), plan.out.parent)
    assert shipped_name(shipped) == "lvistk:demo_detector"
    named = dataclasses.replace(plan.inputs, init=Path("lvistk:demo_detector"))
    assert shared_folder(dataclasses.replace(plan, inputs=named), plan.out.parent) == with_path


def test_a_row_that_fails_does_not_stop_the_others(folder: Path, lvistk: Commands) -> None:
    (folder / "0_broken.toml").write_text(
        'base = "1_first.toml"\n[row]\ntitle = "broken"\n[model.backbone]\nweights = "none.pth"\n'
    )
    run = lvistk("run", str(folder), "--device", "cpu", "--only", "0_broken", "--only", "1_first")
    assert run.code == 2
    assert "not done: 0_broken (seed 0)" in run.error()
    first = load_ladder(folder, seeds=1)[1]
    assert (first.score(0).out / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("3", 'base = "1_first.toml"\n', r"no table \[row\]"),
        ("3", 'base = "1_first.toml"\n[row]\nover = ["2"]\n', "no row '2' beside it"),
        ("3", 'base = "1_first.toml"\n[row]\nscore = "first"\n', "is no evaluate stage"),
        ("3", 'base = "1_first.toml"\nout = "other"\n[row]\n', "different 'out' folders"),
    ],
)
def test_what_is_no_ladder_is_told(folder: Path, name: str, text: str, told: str) -> None:
    (folder / f"{name}.toml").write_text(text)
    with pytest.raises(UserError, match=told):
        load_ladder(folder, seeds=1)


def test_rows_are_chosen_by_name(folder: Path) -> None:
    rows = load_ladder(folder, seeds=1)
    assert [row.name for row in chosen_rows(rows, ["2_second"])] == ["2_second"]
    assert chosen_rows(rows, []) == rows
    with pytest.raises(UserError, match="did you mean '2_second'"):
        chosen_rows(rows, ["2_secnd"])


def test_shipped_ladders_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lvistk: Commands
) -> None:
    monkeypatch.chdir(tmp_path)
    assert any("13_rfs" in line for line in lvistk("status", "ladder").out)
    assert any("15_resnest101" in line for line in lvistk("status", "ladder/paper").out)
    assert any("11_real_longer" in line for line in lvistk("status", "ladder/real").out)
    assert ladder.find_ladder(tmp_path) is None
    assert "no such file" in lvistk("run", "laddr").error()


def test_options_that_a_folder_does_not_take(folder: Path, lvistk: Commands) -> None:
    assert "takes no --force" in lvistk("run", str(folder), "--force").error()
    assert "--shard" in lvistk("run", str(folder), "--shard", "1/2").error()
    assert "--seeds" in lvistk("run", str(folder), "--set", "seed=1").error()
    alone = lvistk("run", str(folder / "1_first.toml"), "--seeds", "2")
    assert "--seeds is for a folder" in alone.error()
