"""Runs that are killed end as if they never were: real processes, real signals."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lvistk.console import read_metrics
from lvistk.engine.checkpoint import read_newest, write_checkpoint
from lvistk.engine.loop import train
from tests.engine.toy import toy_job

ROOT = Path(__file__).parents[2]


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.engine.toy", str(folder), *options]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "final.pt", weights_only=True)


def test_killed_at_several_steps_ends_with_the_same_weights(tmp_path: Path) -> None:
    with start(tmp_path / "whole") as whole:
        for step in (1, 4, 7):
            with start(tmp_path / "killed", "--kill-before", str(step)) as killed:
                killed.communicate()
            assert killed.returncode == -signal.SIGKILL
        with start(tmp_path / "killed") as last:
            out, err = last.communicate()
        assert last.returncode == 0, err
        assert "resuming after step 6 of 10" in out
        _, err = whole.communicate()
        assert whole.returncode == 0, err
    found, wanted = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name
    steps = [row["step"] for row in read_metrics(tmp_path / "killed" / "metrics.jsonl")]
    assert steps == list(range(1, 11))
    kept = sorted(path.name for path in (tmp_path / "killed" / "checkpoints").iterdir())
    assert kept == [f"step_{s:08d}.{kind}" for s in (8, 10) for kind in ("json", "safetensors")]


def test_sigterm_writes_a_last_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    with start(tmp_path, "--pause", "0.2") as process:
        while not (log.is_file() and len(read_metrics(log)) >= 3):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert len(err.strip().splitlines()) == 1
    assert "stopped after step" in err
    newest = read_newest(tmp_path / "checkpoints")
    assert newest is not None
    assert newest.table["step"] == read_metrics(log)[-1]["step"]
    assert newest.table["step"] < 10


@pytest.mark.parametrize("damage", ["cut", "flipped", "undigested"])
def test_a_broken_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = train(toy_job(tmp_path / "whole", max_steps=6))
    train(toy_job(tmp_path / "broken", max_steps=4))
    newest = tmp_path / "broken" / "checkpoints" / "step_00000004.safetensors"
    content = newest.read_bytes()
    if damage == "cut":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        newest.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    else:
        newest.with_suffix(".json").unlink()
    capfd.readouterr()
    again = train(toy_job(tmp_path / "broken", max_steps=6))
    said = capfd.readouterr()
    assert "step_00000004" in said.err
    assert "the checkpoint before it is used" in said.err
    assert "resuming after step 2 of 6" in said.out
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 12):
        write_checkpoint(
            tmp_path, step=step, tensors={"a": torch.ones(2) * step}, table={"step": step}, keep=2
        )
    assert sorted(path.stem for path in tmp_path.glob("*.safetensors")) == [
        "step_00000003",
        "step_00000012",
    ]
    newest = read_newest(tmp_path)
    assert newest is not None
    assert newest.table == {"step": 12}
    assert torch.equal(newest.tensors["a"], torch.full((2,), 12.0))
    assert read_newest(tmp_path / "none") is None
