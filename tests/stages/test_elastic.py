"""``torchrun --max-restarts``: a rank or a whole host dies in a training, comes back, and the run resumes."""

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
from lvistk.stages.pipelines.runner import run_stage
from tests.stages.tiny_run import tiny_pipeline
from tests.test_commands import ROOT, environment
from tests.two_hosts import Host, two_hosts

pytestmark = pytest.mark.slow
STEPS = 16
# Frozen norms and one canvas size: group norm and convolutions see the padding, whose size is that of the
# largest image of a rank's part.
SETTINGS = (
    *("model.backbone.norm=frozen_bn", "augment.short_edges=[64]", "augment.long_edge=64"),
    *("loop.epochs=8", f"loop.max_steps={STEPS}", "loop.checkpoints_kept=20"),
)


def torchrun(root: Path, out: str, *launcher: str) -> list[str]:
    """The command that runs the first stage of the tiny pipeline; launcher: options of torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", *launcher]
    command += [
        "--max-restarts=3",
        "-m",
        "lvistk",
        "run",
        str(root / "tiny.toml"),
        "--only",
        "first",
    ]
    return [*command, f"--out={root / out}", "--device=cpu", *(f"--set={one}" for one in SETTINGS)]


def on_one_host(root: Path, out: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        torchrun(root, out, "--standalone", "--nproc-per-node=2"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def on_host(host: Host, *, first: Host, root: Path, out: str) -> subprocess.Popen[bytes]:
    """One of two hosts with a process each; the hosts meet at ``first``."""
    launcher = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=lvistk"]
    launcher += [f"--rdzv-endpoint={first.address}:29500", f"--local-addr={host.address}"]
    launcher += [f"--rdzv-conf=is_host={int(host is first)},join_timeout=600"]
    log = root / f"{host.card}.log"
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # Otherwise the host that stays never tells the new one where rank 0 listens (torch 2.11 to 2.14).
    variables["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    return host.start(torchrun(root, out, *launcher), log=log, **variables)


def losses(folder: Path) -> torch.Tensor:
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    return torch.tensor([row["loss"] for row in rows], dtype=torch.float64)


def checkpoints(folder: Path) -> dict[str, int]:
    """Name and time of change of each."""
    files = (folder / "checkpoints").glob("step_*.safetensors")
    return {path.name: path.stat().st_mtime_ns for path in files}


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 900
    while len(checkpoints(folder)) < 2:  # the newest may not be finished
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)


def require_resumed(folder: Path, kept: dict[str, int], *, whole: Path) -> None:
    """Cut short, and went on: checkpoints are ``kept``; losses and weights are ``whole``'s."""
    assert read_manifest(folder)["state"] == "done"
    assert 0 < len(kept) < STEPS // 2
    assert sorted(kept.items())[:-1] == sorted(checkpoints(folder).items())[: len(kept) - 1]
    torch.testing.assert_close(losses(folder), losses(whole), rtol=0, atol=0)
    model = "model.safetensors"
    assert (folder / model).read_bytes() == (whole / model).read_bytes()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and in ``runs`` the training of one process, in ``whole`` of two that nothing disturbed."""
    root = tmp_path_factory.mktemp("elastic")
    run_stage(tiny_pipeline(root, *SETTINGS).stage("first"), device="cpu")
    assert on_one_host(root, "whole").wait(900) == 0
    return root


def test_two_processes_have_the_losses_of_one(root: Path) -> None:
    one, two = losses(root / "runs" / "first"), losses(root / "whole" / "first")
    torch.testing.assert_close(two, one, rtol=0, atol=1e-4)  # sums of gradients round otherwise


def test_a_killed_rank_comes_back_and_the_losses_are_the_same(root: Path) -> None:
    process = on_one_host(root, "killed")
    folder = root / "killed" / "first"
    wait_for_checkpoint(folder, process)
    ranks = [p for p in psutil.Process(process.pid).children() if "lvistk" in p.cmdline()]
    assert len(ranks) == 2
    os.kill(ranks[1].pid, signal.SIGKILL)
    kept = checkpoints(folder)
    assert process.wait(900) == 0
    require_resumed(folder, kept, whole=root / "whole" / "first")


def test_a_host_that_dies_comes_back_and_the_losses_are_the_same(root: Path) -> None:
    with two_hosts() as (first, second):
        folder = root / "hosts" / "first"
        stays = on_host(first, first=first, root=root, out="hosts")
        dies = on_host(second, first=first, root=root, out="hosts")
        wait_for_checkpoint(folder, stays)
        second.loses_power()
        kept = checkpoints(folder)
        assert dies.wait(60) == -signal.SIGKILL and stays.poll() is None
        comes_back = on_host(second, first=first, root=root, out="hosts")
        ended = stays.wait(900), comes_back.wait(900)
    said = "\n".join(path.read_text() for path in root.glob("eth-*.log"))
    assert ended == (0, 0), said
    require_resumed(folder, kept, whole=root / "whole" / "first")
