"""The annotation index at LVIS's size beside json.load and lvis-api: time and memory, one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.lvis_sized import write_lvis_sized
from tests.shared_data import REALDATA, needs_realdata

pytestmark = [pytest.mark.bench, needs_realdata]
SIZE = int(os.environ.get("LVISTK_BENCH_ANNOTATIONS", "1270141"))
TIMED = """
import json, resource, sys, time
from pathlib import Path
path, cache = Path(sys.argv[1]), Path(sys.argv[2])
started = time.perf_counter()
{work}
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
smaps = {{line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}}
print(json.dumps(dict(seconds=seconds, peak=peak, resident=smaps["Rss"])))
"""
OPEN = """from lvistk.data.index.annotation_index import AnnotationIndex
index = AnnotationIndex.open([path], cache=cache)
assert len(index.annotations(0)) and len(index) > 0"""
WORKERS = """
import json, sys
from pathlib import Path
from lvistk.config.train import AugmentSettings, LoaderSettings, SamplerSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.training.dataset import DataSettings, TrainingData
from lvistk.data.training.loader import TrainLoader

WORKERS, SAMPLES, FIRST = 8, 1000, 50

def private(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    return found["Private_Dirty"] + found["Private_Clean"]

index = AnnotationIndex.open([Path(sys.argv[1])], cache=Path(sys.argv[2]), defects="skip")
settings = DataSettings(AugmentSettings(short_edges=(128,)), SamplerSettings(), defects="skip")
data = TrainingData(index, Path(sys.argv[3]), settings=settings)
loader = TrainLoader(data, batch_size_per_rank=4, settings=LoaderSettings(workers=WORKERS))
batches = loader.epoch(0)
for _ in range(WORKERS * FIRST // 4):  # their buffers have grown to an image's size
    next(batches)
pids = [worker.pid for worker in loader._loader._iterator._workers]
before = [private(pid) for pid in pids]
for _ in range(WORKERS * (SAMPLES - FIRST) // 4):
    next(batches)
print(json.dumps([private(pid) - first for pid, first in zip(pids, before)]))
"""


def measure(code: str, path: Path, cache: Path) -> dict[str, float]:
    command = [sys.executable, "-c", code, str(path), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_index_beside_its_peers(tmp_path: Path) -> None:
    path, cache = tmp_path / "train.json", tmp_path / "cache"
    write_lvis_sized(path, annotations=SIZE)
    print(f"\n{SIZE} annotations, {path.stat().st_size / 1e6:.0f} MB")
    warm = tmp_path / "warm.json"
    write_lvis_sized(warm, annotations=20_000)
    measure(TIMED.format(work=OPEN), warm, tmp_path / "warm")  # numba compiles once an installation
    rows = {"json.load": measure(TIMED.format(work="json.load(path.open())"), path, cache)}
    rows["index: build and open"] = measure(TIMED.format(work=OPEN), path, cache)
    rows["index: open"] = measure(TIMED.format(work=OPEN), path, cache)
    for name, row in rows.items():
        print(f"{name:24s} {row['seconds']:7.2f} s, peak {row['peak']:6.0f} MB resident")
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, str(script), str(path), str(cache), str(REALDATA / "images")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    grown = json.loads(done.stdout)
    print(
        f"eight loader workers, 1,000 samples each: {max(grown):.1f} MB more private memory at most"
    )
    assert rows["index: open"]["seconds"] < 0.3
    assert rows["index: open"]["resident"] < 150
    assert rows["index: build and open"]["seconds"] <= rows["json.load"]["seconds"]
    assert rows["index: build and open"]["peak"] < rows["json.load"]["peak"] / 2
    assert max(grown) < 60


def test_lvis_api(tmp_path: Path) -> None:
    """A quarter of the size: the whole takes lvis-api some 18 GB."""
    path = tmp_path / "train.json"
    write_lvis_sized(path, annotations=SIZE // 4)
    row = measure(TIMED.format(work="from lvis import LVIS\nLVIS(str(path))"), path, tmp_path)
    print(f"\nlvis-api, {SIZE // 4} annotations: {row['seconds']:.1f} s, peak {row['peak']:.0f} MB")
    ours = measure(TIMED.format(work=OPEN), path, tmp_path / "cache")
    print(f"index: build and open: {ours['seconds']:.1f} s, peak {ours['peak']:.0f} MB")
    assert ours["seconds"] < row["seconds"]
