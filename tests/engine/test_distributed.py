"""Two gloo processes train as one does, and come back when one of them is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.distributed import TCPStore

from lvistk.console import read_metrics
from lvistk.distributed import _store_of_this_attempt
from lvistk.engine.loop import train
from tests.engine.toy import ToyModel, toy_job

ROOT = Path(__file__).parents[2]


def torchrun(folder: Path, *options: str, processes: int, restarts: int = 0) -> str:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={processes}", f"--max-restarts={restarts}"),
        *("-m", "tests.engine.toy", str(folder), "--per-sample", *options),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curve(folder: Path) -> torch.Tensor:
    rows = read_metrics(folder / "metrics.jsonl")
    return torch.tensor([[row["loss"], row["loss_class"], row["loss_area"]] for row in rows])


def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ToyModel(norm=False, dropout=0.0)
    train(toy_job(tmp_path / "one", max_steps=20, epochs=4, model=model))
    torchrun(tmp_path / "two", "--steps", "20", processes=2)
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert one.shape == two.shape == (20, 3)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-4)
    assert (one - two).abs().max() > 0  # it did run another way


@pytest.mark.slow
def test_a_killed_rank_is_restarted_and_the_run_resumes(tmp_path: Path) -> None:
    torchrun(tmp_path / "whole", "--steps", "10", processes=2)
    marker = str(tmp_path / "killed")
    said = torchrun(
        tmp_path / "restarted", "--steps", "10", "--kill-rank-once", marker, processes=2, restarts=1
    )
    assert Path(marker).is_file()
    assert "resuming after step 4 of 10" in said
    wanted = torch.load(tmp_path / "whole" / "final.pt", weights_only=True)
    found = torch.load(tmp_path / "restarted" / "final.pt", weights_only=True)
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_a_restarted_rank_does_not_read_what_a_dead_one_wrote(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torchrun's ranks of one host keep their store, in which torch 2.14 doesn't tell attempts apart."""
    server = TCPStore("localhost", 0, world_size=1, is_master=True, multi_tenant=True)
    values = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(server.port), "RANK": "0"}
    values |= {"WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "1", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert not _store_of_this_attempt()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    _store_of_this_attempt()["store"].set("address", "of the dead")
    assert _store_of_this_attempt()["store"].check(["address"])
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not _store_of_this_attempt()["store"].check(["address"])
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert not _store_of_this_attempt()
