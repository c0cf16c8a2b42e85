"""``--shard I/N``: several jobs make the shards of one stage, and a last one finishes it."""

import subprocess
from pathlib import Path

import pytest

from lvistk.artifacts import read_manifest
from lvistk.artifacts.lock import StageLock
from tests.command_line import Commands, pseudo_label, small_world, tta_infer
from tests.test_commands import environment, killed, program

STAGES = {"tta-infer": tta_infer, "pseudo-label": pseudo_label}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("portions")
    small_world(root)
    return root


@pytest.mark.parametrize("name", list(STAGES))
def test_portions_then_the_rest_give_what_one_run_gives(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "parts"
    assert lvistk(*STAGES[name](world, whole)).code == 0
    for number, shards in ((2, ["00001.h5"]), (1, ["00000.h5", "00001.h5", "00002.h5"])):
        made = lvistk(*STAGES[name](world, out), "--shard", f"{number}/2")
        assert made.code == 0, made
        assert sorted(path.name for path in (out / "detections").iterdir()) == shards
        assert read_manifest(out)["state"] == "running"
        assert not (out / "results_bbox.json").exists() and not (out / ".lock").exists()
    made = {path.name: path.stat().st_mtime_ns for path in (out / "detections").iterdir()}

    finished = lvistk(*STAGES[name](world, out))
    assert finished.code == 0 and read_manifest(out)["state"] == "done"
    assert {path.name: path.stat().st_mtime_ns for path in (out / "detections").iterdir()} == made
    for file in sorted(whole.rglob("*.h5")) + sorted(whole.glob("results_*.json")):
        assert (out / file.relative_to(whole)).read_bytes() == file.read_bytes(), file.name
    again = lvistk(*STAGES[name](world, out), "--shard", "1/2")
    assert again.out == [f"{name.replace('-', '_')}: done ({out})"]


@pytest.mark.slow
def test_jobs_of_one_stage_run_together_and_a_killed_one_comes_back(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    out = tmp_path / "parts"
    command = tta_infer(world, out)
    killed([*command, "--shard", "1/2"], when=out / "detections" / "00000.h5")
    kept = (out / "detections" / "00000.h5").read_bytes()
    jobs = [
        subprocess.Popen(program(*command, "--shard", f"{k}/2"), env=environment()) for k in (1, 2)
    ]
    assert [job.wait(300) for job in jobs] == [0, 0]
    assert len(list((out / "detections").iterdir())) == 3
    assert (out / "detections" / "00000.h5").read_bytes() == kept
    assert lvistk(*command).code == 0


def test_a_portion_and_a_whole_run_keep_each_other_out(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = tta_infer(world, out)
    first, second = StageLock(out, shared=True), StageLock(out, shared=True)
    told = f"{out}: another process is running this stage"
    first.release()
    assert lvistk(*command).error() == told
    assert lvistk(*command, "--shard", "2/2").code == 0
    second.release()
    whole = StageLock(out)
    assert lvistk(*command, "--shard", "2/2").error() == told
    whole.release()
    assert not (out / ".lock").exists()


def test_mistakes_are_told(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    out = tmp_path / "out"
    command = tta_infer(world, out)
    for text in ("0/2", "3/2", "1", "1/0", "-1/2", "a/b"):
        assert lvistk(*command, f"--shard={text}").error() == (
            f"--shard {text}: write I/N with I from 1 to N, such as --shard 2/4"
        )
    told = lvistk(*command, "--shard", "1/2", "--force").error()
    assert told.startswith("tta_infer: --force would delete what other jobs make")
    assert lvistk(*command, "--shard", "1/2").code == 0
    told = lvistk(*command, "--shard", "2/2", "--set", "views.short_edges=[48]").error()
    assert "was run differently" in told
    file = tmp_path / "two.toml"
    file.write_text('[stage.score]\ncommand = "evaluate"\n[stage.tta]\ncommand = "tta-infer"\n')
    assert lvistk("run", file, "--shard", "1/2").error() == (
        "--shard is for one stage: give --only NAME too"
    )
    given = ["--set", f"score.inputs.val={world}/train.json"]
    given += ["--set", f"score.inputs.detections={world}/train.json"]
    told = lvistk("run", file, "--only", "score", "--shard", "1/2", *given).error()
    assert told == (
        "score: --shard divides the images of pseudo-label, tta-infer; run evaluate without it"
    )
