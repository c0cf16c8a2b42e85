"""The annotation index at LVIS's size beside json.load and lvis-api: time and memory, one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.lvis_sized import write_lvis_sized
from tests.shared_data import needs_realdata

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
OPEN = """from lvistk.data.annotation_index import AnnotationIndex
index = AnnotationIndex.open([path], cache=cache)
assert len(index.annotations(0)) and len(index) > 0"""
WORKERS = """
import json, multiprocessing, sys
from pathlib import Path
import numpy as np
from lvistk.data.annotation_index import AnnotationIndex

def private():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    return found["Private_Dirty"] + found["Private_Clean"]

def work(index, seed, together, results):
    together.wait()
    before = private()
    together.wait()
    draw = np.random.default_rng(seed)
    total = 0.0
    for i in draw.integers(0, len(index), 1000):
        found = index.annotations(int(i))
        total += float(found.boxes.sum()) + float(found.polygons.points.sum())
        index.negative_labels(int(i)), index.file_name(int(i))
    together.wait()  # all hold their pages while they are measured
    results.put(private() - before)
    together.wait()

if __name__ == "__main__":
    index = AnnotationIndex.open([Path(sys.argv[1])], cache=Path(sys.argv[2]))
    spawn = multiprocessing.get_context("spawn")
    together, results = spawn.Barrier(8), spawn.SimpleQueue()
    started = [spawn.Process(target=work, args=(index, n, together, results)) for n in range(8)]
    for process in started:
        process.start()
    print(json.dumps([results.get() for _ in started]))
    for process in started:
        process.join()
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
        [sys.executable, str(script), str(path), str(cache)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    grown = json.loads(done.stdout)
    print(f"eight workers, 1,000 photos each: {max(grown):.1f} MB more private memory at most")
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
