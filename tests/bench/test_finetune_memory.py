"""Peak memory of a fine-tuning step beside a stage 1 step, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.finetune_step import RUNS

ROOT = Path(__file__).parents[2]
LIMITS = {"group softmax alone": 0.6, "all parts": 1.0}
"""Largest share of a stage 1 step's memory."""


def measured(run: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.finetune_step", run, "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.bench
def test_memory_of_fine_tuning() -> None:
    found = {run: measured(run) for run in RUNS}
    base = found["stage 1"]["peak_gib"]
    print("\nstep of Mask R-CNN R50, 1203 classes, 480 x 640, batch 2, CPU float32")
    for run, numbers in found.items():
        share = numbers["peak_gib"] / base
        print(f"{run}: {numbers['peak_gib']:.2f} GiB ({share:.2f}), {numbers['seconds']:.2f} s")
    for run, limit in LIMITS.items():
        assert found[run]["peak_gib"] <= limit * base, run
