"""An image file to JSON beside torchvision, several views beside as many runs, memory of twelve views."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_commands import environment

pytestmark = pytest.mark.bench
ROOT = Path(__file__).parents[2]
SIX = (400, 600, 800, 1000, 1200, 1400)


def measured(model: str, *options: object) -> dict[str, Any]:
    """What a process of its own prints: processor seconds, records, peak memory."""
    command = [sys.executable, "-m", "tests.bench.whole_inference", model, *map(str, options)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    row = json.loads(done.stdout.splitlines()[-1])
    print(f"{model} {' '.join(map(str, options))}: {row}")
    return row


def test_one_scale_takes_half_of_torchvisions_time() -> None:
    own, other = (
        measured("ours", "--short-edges", 800),
        measured("torchvision", "--short-edges", 800),
    )
    assert own["records"] == other["records"] == 600  # 300 masks, 300 boxes
    assert own["seconds"] * 2 <= other["seconds"]


def test_views_take_no_more_than_as_many_runs() -> None:
    edges = (480, 560, 640)
    together = measured("ours", "--short-edges", *edges)
    alone = [measured("ours", "--short-edges", edge) for edge in edges]
    assert together["seconds"] <= 1.1 * sum(row["seconds"] for row in alone)


def test_twelve_views_take_the_memory_of_the_largest() -> None:
    """No features are kept for masks, so that none of the views adds to another."""
    given = ("--long-edge", 2333, "--feature-memory-mb", 0, "--repeats", 0)
    largest = measured("ours", "--short-edges", 1400, *given)
    six = measured("ours", "--short-edges", *SIX, "--flip", *given)
    assert six["peak_mb"] <= 1.3 * largest["peak_mb"]  # all at once: 2.8 times
