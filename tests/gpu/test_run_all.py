"""The turn-key run: what it does without a device, and that each of its pieces starts."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

from lvistk.cli.commands import app
from tests.bench.test_train_step import ON_GPU
from tests.gpu.run_all import PIECES, Piece, last_json, last_line, run_piece
from tests.test_commands import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_without_a_device_it_says_so_and_succeeds(tmp_path: Path) -> None:
    hidden = {**environment(), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "tests.gpu.run_all", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=hidden, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "no CUDA device: nothing was run\n"), done.stderr
    assert not (tmp_path / "out").exists()


def test_a_piece_keeps_its_last_line_and_its_time(tmp_path: Path) -> None:
    good = run_piece(Piece("adds", ("json.tool", "--help"), last_line), "good", tmp_path)
    assert good["exit_code"] == 0 and good["result"] and not good["timed_out"]
    assert (tmp_path / "good.txt").read_text().strip().endswith(good["result"])
    slow = run_piece(Piece("serves", ("http.server", "0")), "slow", tmp_path, limit=1)
    assert slow["timed_out"] and slow["exit_code"] is None and slow["result"] is None
    assert last_json('a\n{"b": 1}\nc') == {"b": 1}


@pytest.mark.parametrize("name", [name for name in PIECES if name != "tests"])
def test_the_program_of_a_piece_takes_its_options(name: str) -> None:
    module, *words = PIECES[name].words
    if module == "lvistk":
        group = typer.main.get_command(app)
        command = group.commands[words[0]]  # pyright: ignore[reportAttributeAccessIssue]  # a group
        command.make_context(words[0], words[1:])
    else:
        import_module(module).arguments().parse_args(words)


def test_the_step_of_the_bench_on_a_gpu_is_one_that_can_be_measured() -> None:
    given = import_module("tests.bench.train_step").arguments().parse_args(["ours", *ON_GPU])
    assert (given.device, given.count) == ("cuda", 8)


@pytest.mark.slow
def test_the_pieces_own_programs_run_on_a_cpu(tmp_path: Path) -> None:
    training = ["tests.gpu.training", str(tmp_path), "--seconds", "60", "--device", "cpu"]
    training += ["--images", "24", "--set", "loop.batch_size=4", "--set", "loop.precision=fp32"]
    training += [
        "--set",
        "loader.workers=0",
        "--set",
        "loop.max_steps=4",
        "--set",
        "loop.log_steps=1",
    ]
    inference = ["tests.gpu.inference", "--device", "cpu", "--height", "96", "--width", "128"]
    inference += ["--precision", "fp32"]  # half precision takes minutes on some processors
    for words in (training, [*inference, "--repeats", "1"]):
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])
