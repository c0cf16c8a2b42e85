"""What each trick of the JSON scanner gains the whole ``lvistk evaluate``, and pyarrow beside it.

A trick that gains less than a tenth is not worth its lines. ``LVISTK_BENCH_IMAGES`` and
``LVISTK_BENCH_WORKLOAD`` are those of ``test_evaluate``; the largest size counts.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.bench.plain_twins import MEANING
from tests.bench.test_evaluate import SIZES, Cost, measure, workload, workloads

pytestmark = pytest.mark.bench
__all__ = ["workloads"]
REPEATS = 3
READ = """
import sys
from pathlib import Path
from lvistk.evaluation.results_json import read_blocks
from lvistk.json_input.text import json_text
count = read_blocks(json_text(Path(sys.argv[1])), lambda block: len(block.has), sum, threads=2, masks=True,
                    image_of=lambda text: 0)
print("AP", count)
"""
ARROW = """
import sys
import pyarrow
from pyarrow import json
mask = pyarrow.struct([("size", pyarrow.list_(pyarrow.int64())), ("counts", pyarrow.string())])
fields = [("image_id", pyarrow.int64()), ("category_id", pyarrow.int64()), ("score", pyarrow.float64())]
fields.append(("segmentation", mask) if sys.argv[2] == "segm" else ("bbox", pyarrow.list_(pyarrow.float64())))
pyarrow.set_cpu_count(2)
options = json.ParseOptions(explicit_schema=pyarrow.schema(fields), unexpected_field_behavior="ignore")
read = json.ReadOptions(block_size=3 << 20)
count = 0
for batch in json.open_json(sys.argv[1], read_options=read, parse_options=options):
    count += batch.num_rows
print("AP", count)
"""


def best(command: list[str], score: Path | None = None) -> Cost:
    """The least of several runs, by CPU time."""
    return min((measure(command, score) for _ in range(REPEATS)), key=lambda cost: cost.cpu)


def test_each_trick(workloads: Path, tmp_path: Path) -> None:
    print(f"\n{max(SIZES)} images, ground truth in its cache, the least of {REPEATS} runs")
    print("| | masks: wall s | CPU s | boxes: wall s | CPU s |")
    print("| --- | --- | --- | --- | --- |")
    small, large = workload(workloads, min(SIZES)), workload(workloads, max(SIZES))
    for twin in ("none", *MEANING):
        os.environ["NUMBA_CACHE_DIR"] = str(tmp_path / f"kernels-{twin}")
        try:
            cells = []
            for kind in ("segm", "bbox"):
                out = tmp_path / f"{twin}-{kind}"
                for size in (small, small, large):  # the first compiles
                    command = [sys.executable, "-m", "tests.bench.plain_twins", twin, "evaluate"]
                    command += [str(size / "gt.json"), str(size / f"dt_{kind}.json")]
                    command += ["--out", str(out), "--force", "--set", f'kinds=["{kind}"]']
                    command += ["--set", "boundary=false", "--set", "fixed=false"]
                    cost = (best if size == large else measure)(command, out / "metrics.json")
                cells += [f"{cost.wall:.2f}", f"{cost.cpu:.2f}"]
        finally:
            del os.environ["NUMBA_CACHE_DIR"]
        print(f"| {MEANING.get(twin, 'as it is')} | {' | '.join(cells)} |")


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_beside_pyarrow(workloads: Path, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("pyarrow")
    file = workload(workloads, max(SIZES)) / f"dt_{kind}.json"
    lines = tmp_path / "lines.json"
    records = file.read_bytes().strip()[1:-1]
    lines.write_bytes(records.replace(b"}, {", b"}\n{").replace(b"},{", b"}\n{"))
    ours = best([sys.executable, "-c", READ, str(file)])
    arrow = best([sys.executable, "-c", ARROW, str(lines), kind])
    assert ours.score == arrow.score
    print(
        f"\n{kind}, {ours.score:.0f} records into columns, whole processes, the least of {REPEATS}"
    )
    print(f"lvistk {ours.wall:.2f} s wall, {ours.cpu:.2f} s CPU, {ours.peak:.0f} MB")
    print(f"pyarrow, a record a line {arrow.wall:.2f} s, {arrow.cpu:.2f} s, {arrow.peak:.0f} MB")
