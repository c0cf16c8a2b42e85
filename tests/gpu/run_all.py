"""One command for a machine with a CUDA device: tests, benches, a profile, trainings; results as JSON.

    python -m tests.gpu.run_all --out results            # everything, in pieces of at most 9 minutes
    python -m tests.gpu.run_all --out results --only step --only tests
    python -m tests.gpu.run_all --list

Each piece is a process of its own with a limit of time. Its output goes to ``results/PIECE.txt`` and its
result to ``results/results.json``, which is written again after every piece: what was measured stays if the
machine goes away, and a further call runs what is missing. Without a CUDA device nothing is run, and the exit
code is 0.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lvistk.whole_file import write_json

ROOT = Path(__file__).parents[2]
LIMIT = 540
"""Seconds of a piece; machines are lent for 10 minutes per command."""
STEP = ("--device=cuda", "--height=800", "--width=1216", "--count=8", "--steps=5")
GIVEN = ("--device", "cuda")


def last_json(text: str) -> Any:
    """The last line of an output that is JSON; None without one."""
    for line in reversed(text.splitlines()):
        try:
            return json.loads(line)
        except ValueError:
            continue
    return None


@dataclass(frozen=True)
class Piece:
    """A command, and what is kept of its output.

    what: in words. words: after ``python -m``; OUT is the folder of results. read: makes the result of the
    output.
    """

    what: str
    words: Sequence[str]
    read: Callable[[str], Any] = last_json


def last_line(text: str) -> str:
    """The summary of pytest, or of a run."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def step(model: str, *more: str) -> tuple[str, ...]:
    return ("tests.bench.train_step", model, *STEP, *more)


PIECES: Mapping[str, Piece] = {
    "tests": Piece(
        "the tests marked gpu", ("pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"), last_line
    ),
    "step": Piece("a training step in bf16, 1203 classes", step("ours", "--precision=bf16")),
    "step-channels-last": Piece(
        "the same, channels last", step("ours", "--precision=bf16", "--channels-last")
    ),
    "step-fp32": Piece("the same in float32", step("ours")),
    "step-torchvision": Piece("torchvision's in bf16", step("torchvision", "--precision=bf16")),
    "step-torchvision-fp32": Piece("torchvision's in float32", step("torchvision")),
    "profile": Piece("a step by operator", step("ours", "--precision=bf16", "--profile")),
    "inference": Piece("an image at inference, lvistk and torchvision", ("tests.gpu.inference",)),
    "training": Piece(
        "a training of two minutes on drawn data",
        ("tests.gpu.training", "OUT/training", "--seconds", "120"),
    ),
    "demo": Piece("the whole demo", ("lvistk", "demo", "--out", "OUT/demo", *GIVEN), last_line),
    "ladder": Piece(
        "the ladder's first rows, as far as 9 minutes go; a further call goes on",
        (
            *("lvistk", "run", "pipelines/ladder", "--only", "10_baseline", "--only", "12_eql"),
            *("--only", "13_rfs", *GIVEN),
        ),
        last_line,
    ),
}


def run_piece(piece: Piece, name: str, out: Path, *, limit: int = LIMIT) -> dict[str, Any]:
    """Run a piece: its result, seconds, exit code; ``timed_out`` where it reached the limit."""
    words = [word.replace("OUT", str(out)) for word in piece.words]
    started = time.monotonic()
    command = [sys.executable, "-m", *words]
    with (out / f"{name}.txt").open("w+") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.terminate()  # a training writes a checkpoint and leaves
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            code = None
        output.seek(0)
        text = output.read()
    return {
        "what": piece.what,
        "command": " ".join(["python", "-m", *piece.words]),
        "result": piece.read(text),
        "exit_code": code,
        "timed_out": code is None,
        "seconds": round(time.monotonic() - started, 1),
    }


def machine() -> dict[str, Any]:
    """Device and versions."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def run_all(out: Path, names: Sequence[str]) -> int:
    """Run pieces that have not succeeded yet; returns how many of them failed."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {"pieces": {}}
    results["machine"] = machine()
    for name in names:
        if results["pieces"].get(name, {}).get("exit_code") == 0:
            continue
        print(f"{name}: {PIECES[name].what}", flush=True)
        results["pieces"][name] = done = run_piece(PIECES[name], name, out)
        write_json(file, results)
        print(f"  {done['seconds']} s, exit code {done['exit_code']}: {done['result']}", flush=True)
    return sum(results["pieces"][name]["exit_code"] != 0 for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--only", action="append", choices=list(PIECES))
    parser.add_argument("--list", action="store_true", help="name the pieces, run nothing")
    given = parser.parse_args()
    if given.list:
        for name, piece in PIECES.items():
            print(f"{name}: {piece.what}: python -m {' '.join(piece.words)}")
        return
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was run")
        return
    failed = run_all(given.out.absolute(), given.only or list(PIECES))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
