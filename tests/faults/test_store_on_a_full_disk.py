"""A shard that does not fit on the disk is never taken for a whole one."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

WRITE = """
import sys
from pathlib import Path
import numpy as np
from lvistk.data.store.detection_store import DetectionWriter
from lvistk.errors import UserError
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections
zeros = np.zeros(3, np.int64)
categories = Categories(np.array([3, 8, 9]), ("a", "b", "c"), np.array(["f", "c", "r"]), zeros, zeros)
draw = np.random.default_rng(0)
images = [
    Detections(number, (20, 30), draw.random((400, 4), np.float32), draw.random(400, np.float32),
               draw.integers(0, 3, 400).astype(np.int32), [b"0" * 9] * 400)
    for number in range(4)
]
for image in images:
    image.masks = None
try:
    DetectionWriter(Path(sys.argv[1]), categories=categories, role="x").write_shard(0, images)
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


@pytest.mark.parametrize("short", [1, 600, 4000, 20_000])
def test_a_shard_cut_by_the_disk(short: int, tmp_path: Path) -> None:
    """``short`` bytes fewer than the shard needs; the limit stands for a disk of that size."""
    path = tmp_path / "whole.h5"
    assert write(path, limit=1 << 30).returncode == 0
    size = path.stat().st_size
    cut = tmp_path / "full" / "00000.h5"
    done = write(cut, limit=size - short)
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"{cut}: the disk is full; free space and run again\n"
    assert list(cut.parent.iterdir()) == []


def write(path: Path, *, limit: int) -> subprocess.CompletedProcess[str]:
    def bound() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", WRITE, str(path)], preexec_fn=bound, capture_output=True, text=True
    )
