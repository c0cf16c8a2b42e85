"""A pool of tiny images that is killed ten times equals an undisturbed run; memory does not grow with it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lvistk.data.store.detection_store import DetectionStore
from tests.faults.pool_run import SHARD, write_pool

IMAGES = int(os.environ.get("LVISTK_POOL_IMAGES", "100000"))
"""Smaller for a quick look."""
KILLS = 10
GROWTH_MB, MOST_MB = 100, 1000


def start(pool: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.pool_run", str(pool), str(out)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.h5"))}


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    pool, calm, killed = tmp_path / "pool", tmp_path / "a" / "calm", tmp_path / "b" / "killed"
    write_pool(pool, IMAGES)
    undisturbed = start(pool, calm)
    told = undisturbed.communicate()[0].split()
    assert undisturbed.returncode == 0
    first, last = int(told[-2]), int(told[-1])
    print(f"{IMAGES} images, peak {first} MB after the first shard, {last} MB at the end")
    assert last < MOST_MB and last - first < GROWTH_MB
    rng = np.random.default_rng(0)
    wanted = shards(calm)
    assert len(wanted) == -(-IMAGES // SHARD)
    for kill in range(KILLS):
        process = start(pool, killed)
        aim = len(wanted) * (kill + 1) // (KILLS + 1)
        while process.poll() is None and len(list(killed.glob("*.h5"))) < aim:
            time.sleep(0.05)
        time.sleep(rng.random() * 0.3)  # in the middle of a shard, or of writing it
        process.kill()
        process.communicate()
        assert process.returncode != 0, "it ended before it could be killed"
    finishing = start(pool, killed)
    finishing.communicate()
    assert finishing.returncode == 0
    assert shards(killed) == wanted
    assert len(DetectionStore.open(killed)) == IMAGES - IMAGES // 5000
