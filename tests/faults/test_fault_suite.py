"""The fault suite: random kills, spoiled artifacts, full disks, mutated inputs (docs/reliability.md).

Each program runs in a process of its own, whose crash would be noticed.
"""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.fuzz import READERS, fuzz
from tests.faults.mutations import mutated_bytes
from tests.faults.ways import WAYS

ROOT = Path(__file__).parents[2]


def program(name: str, *words: object, **variables: str) -> str:
    """What ``python -m tests.faults.NAME`` printed; a process that crashed fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-X", "faulthandler", "-m", f"tests.faults.{name}"]
    done = subprocess.run(
        [*command, *map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_hundred_random_kills(tmp_path: Path) -> None:
    told = program("random_kills", tmp_path, "--trials", 100)
    trials, kills, survived = map(int, re.findall(r"\d+", told.splitlines()[-1]))
    assert trials == survived == 100 and kills > 50, told


@pytest.mark.slow
def test_each_artifact_spoiled_in_twenty_ways(tmp_path: Path) -> None:
    assert len(WAYS) == 20
    told = program("corruption", tmp_path)
    assert told.splitlines()[-1] == "lost in all 0", told


@pytest.mark.slow
def test_a_disk_that_is_full_at_each_page(tmp_path: Path) -> None:
    told = program("full_disks", tmp_path)
    if not told:
        pytest.skip("mounting a small disk needs root")
    assert "lost" not in told, told


@pytest.fixture(scope="module")
def checked_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of their own for kernels that are compiled with bounds checks."""
    return tmp_path_factory.mktemp("kernels")


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_ten_thousand_mutated_inputs(reader: str, tmp_path: Path, checked_kernels: Path) -> None:
    variables = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(checked_kernels)}
    told = program("fuzz", reader, tmp_path / "fuzz", "--count", 10_000, **variables)
    read, refused, lost = map(int, re.findall(r"\d+", told.splitlines()[-1]))
    assert read + refused == 10_000 and not lost, told
    assert read > 100 and refused > 100, told


@pytest.mark.parametrize("reader", READERS)
def test_a_few_mutated_inputs(reader: str, tmp_path: Path) -> None:
    found = fuzz(reader, tmp_path, count=60, seed=1)
    assert not found.lost and found.read and found.refused, found


@pytest.mark.parametrize("way", range(20))
def test_each_way_spoils(way: int) -> None:
    sound = random.Random(0).randbytes(3000)
    assert WAYS[way](random.Random(way), sound) != sound
    assert mutated_bytes(random.Random(way), sound) != sound
