"""Each of the six commands alone: done at once, resumed after a kill, refused, restarted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lvistk.artifacts import read_manifest
from tests.command_line import SIX, Commands, files_below, small_world, tta_infer

ROOT = Path(__file__).parents[1]
CHANGES = {
    "train-repr": ("optim.lr=0.5", "settings.optim.lr: 0.02 -> 0.5"),
    "pseudo-label": ("merge.nms_iou=0.4", "settings.merge.nms_iou: 0.5 -> 0.4"),
    "filter-missing": ("rule=paper", "settings.rule: federated -> paper"),
    "finetune": ("optim.lr=0.5", "settings.optim.lr: 0.02 -> 0.5"),
    "tta-infer": ("views.short_edges=[48, 64]", "settings.views.short_edges"),
    "evaluate": ("max_detections=7", "settings.max_detections: 300 -> 7"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commands")
    small_world(root)
    return root


@pytest.mark.parametrize("name", list(SIX))
def test_done_refused_and_forced(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    seen(world, lvistk)
    out = tmp_path / "out"
    command = SIX[name](world, out)
    first = lvistk(*command)
    assert first.code == 0, first
    manifest = read_manifest(out)
    assert (manifest["command"], manifest["state"]) == (name, "done")
    before = files_below(tmp_path) | files_below(world)

    again = lvistk(*command)
    assert again.code == 0 and again.err == []
    assert again.out == [f"{name.replace('-', '_')}: done ({out})"]
    change, words = CHANGES[name]
    told = lvistk(*command, "--set", change).error()
    assert words in told and "use --force" in told and str(out) in told
    assert files_below(tmp_path) | files_below(world) == before

    forced = lvistk(*command, "--set", change, "--force")
    assert forced.code == 0, forced
    stages = json.dumps(read_manifest(out)["settings"])
    assert stages != json.dumps(manifest["settings"])
    assert read_manifest(out)["state"] == "done"


def test_a_folder_given_with_the_home_sign(
    world: Path, tmp_path: Path, lvistk: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shells leave ``~`` in the middle of a word alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    seen(world, lvistk)
    command = [word for word in SIX["evaluate"](world, tmp_path) if word != tmp_path]
    command.remove("--out")
    assert lvistk(*command, "--out=~/score").code == 0
    assert (tmp_path / "score" / "metrics.json").is_file()


def seen(world: Path, lvistk: Commands) -> Path:
    """Detections on all images of ``world``, for the commands that read some."""
    if not (world / "seen").is_dir():
        assert lvistk(*tta_infer(world, world / "seen")).code == 0
    return world / "seen"


def test_pseudo_label_killed_and_run_again(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    """The shards that are there stay; the rest is computed, to the same bytes."""
    whole = tmp_path / "whole"
    assert lvistk(*SIX["pseudo-label"](world, whole)).code == 0
    out = tmp_path / "killed"
    killed(SIX["pseudo-label"](world, out), when=out / "detections" / "00000.h5")
    kept = files_below(out / "detections")
    assert read_manifest(out)["state"] == "running"
    again = lvistk(*SIX["pseudo-label"](world, out))
    assert again.code == 0 and "pseudo_label: resuming" in again.out[0]
    assert kept.items() <= files_below(out / "detections").items()
    shards = sorted((whole / "detections").iterdir())
    assert len(shards) == 3
    for shard in shards:
        assert (out / "detections" / shard.name).read_bytes() == shard.read_bytes()


@pytest.mark.parametrize("name", ["filter-missing", "evaluate"])
def test_short_commands_killed_and_run_again(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    seen(world, lvistk)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert lvistk(*SIX[name](world, whole)).code == 0
    killed(SIX[name](world, out), when=out / "stage.json")
    again = lvistk(*SIX[name](world, out))
    assert again.code == 0, again
    for file in read_manifest(whole)["outputs"]:
        assert (out / file).read_bytes() == (whole / file).read_bytes(), file


def program(*command: object) -> list[str]:
    """``lvistk`` with these words, as a process is started."""
    return [sys.executable, "-m", "lvistk", *map(str, command)]


def environment() -> dict[str, str]:
    """Of a process that runs this code, on this many threads: on others results round otherwise."""
    threads = str(torch.get_num_threads())
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads}


def killed(command: list[object], *, when: Path) -> None:
    """Run ``command`` in a process of its own and kill it as soon as the file ``when`` is there."""
    process = subprocess.Popen(
        program(*command),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not when.is_file() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert when.is_file(), said
