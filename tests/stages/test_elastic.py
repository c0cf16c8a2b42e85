"""``torchrun --max-restarts``: a rank of a training is killed, all are started again, and the run resumes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from lvistk.artifacts import read_manifest
from lvistk.console import read_metrics
from tests.stages.tiny_run import tiny_pipeline
from tests.test_commands import ROOT, environment

STEPS = 8


def torchrun(root: Path, out: str) -> subprocess.Popen[bytes]:
    """Two gloo processes that run the first stage of the tiny pipeline."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "--max-restarts=1", "-m", "lvistk", "run"]
    command += [str(root / "tiny.toml"), "--only", "first", "--out", str(root / out)]
    command += ["--device", "cpu", "--set", f"loop.max_steps={STEPS}"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def losses(folder: Path) -> torch.Tensor:
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    return torch.tensor([row["loss"] for row in rows], dtype=torch.float64)


@pytest.mark.slow
def test_a_killed_rank_comes_back_and_the_losses_are_the_same(tmp_path: Path) -> None:
    tiny_pipeline(tmp_path)
    assert torchrun(tmp_path, "whole").wait(600) == 0
    process = torchrun(tmp_path, "killed")
    checkpoints = tmp_path / "killed" / "first" / "checkpoints"
    end = time.monotonic() + 600
    while not list(checkpoints.glob("step_*.safetensors")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    ranks = [p for p in psutil.Process(process.pid).children() if "lvistk" in p.cmdline()]
    assert len(ranks) == 2
    os.kill(ranks[1].pid, signal.SIGKILL)
    assert process.wait(600) == 0
    folder = tmp_path / "killed" / "first"
    assert read_manifest(folder)["state"] == "done"
    torch.testing.assert_close(losses(folder), losses(tmp_path / "whole" / "first"), rtol=0, atol=0)
