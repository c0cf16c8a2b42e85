"""``lvistk evaluate`` beside hotcoco and lvis-api: whole processes, time and peak memory, in one run.

``LVISTK_BENCH_IMAGES`` lists the sizes (500,2000,5000,19809); ``LVISTK_BENCH_WORKLOAD`` is a folder that
keeps them; ``LVISTK_BENCH_PEERS`` is a folder to import hotcoco from. lvis-api runs up to 500 images.
"""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from lvistk.masks.rle import extents
from tests.shared_data import BENCH

pytestmark = pytest.mark.bench
SIZES = [int(n) for n in os.environ.get("LVISTK_BENCH_IMAGES", "500,2000,5000,19809").split(",")]
LVIS_API_IMAGES = 500
GOAL_IMAGES = 19809
"""The size that the goals are for: LVIS val."""
ROOT = Path(__file__).parents[2]
HOTCOCO = """
import sys
from hotcoco import COCO, LVISeval
gt = COCO(sys.argv[1])
evaluation = LVISeval(gt, gt.load_res(sys.argv[2]), sys.argv[3])
evaluation.run()
print("AP", evaluation.get_results()["AP"])
"""
LVIS_API = """
import sys
from tests.reference.official_lvis import official
print("AP", official(sys.argv[1], sys.argv[2], sys.argv[3]).results["AP"])
"""


SMALL_PARENT = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
printed = process.stdout.read()
_, status, usage = os.wait4(process.pid, 0)
cost = dict(wall=time.perf_counter() - started, cpu=usage.ru_utime + usage.ru_stime,
            peak=usage.ru_maxrss / 1024, status=status, printed=printed)
print(json.dumps(cost))
"""
"""A process starts with the peak memory of the one that forked it, so a small one must fork it."""


class Cost(NamedTuple):
    """Wall and CPU seconds of a process with its threads, peak resident MB, and the AP it found."""

    wall: float
    cpu: float
    peak: float
    score: float


def measure(command: list[str], score: Path | None = None) -> Cost:
    """Run a whole process; the score is in ``metrics.json``, or printed after ``AP``.

    Its input files are read first, so that no row depends on what the system has forgotten since the last.
    """
    for word in command:
        if word.endswith((".json", ".h5")):
            with Path(word).open("rb") as handle:
                while handle.read(1 << 24):
                    pass
    paths = [str(ROOT), os.environ.get("LVISTK_BENCH_PEERS", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed
    done = subprocess.run(
        [sys.executable, "-c", SMALL_PARENT, *command],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    cost = json.loads(done.stdout)
    assert cost["status"] == 0, done.stderr + cost["printed"]
    if score is not None:
        metrics = json.loads(score.read_text())
        found = metrics["segm" if "segm" in metrics else "bbox"]["AP"]
    else:
        found = float(cost["printed"].rsplit("AP", 1)[1])
    return Cost(cost["wall"], cost["cpu"], cost["peak"], found)


def ours(gt: Path, results: Path, out: Path, *settings: str) -> Cost:
    command = [sys.executable, "-m", "lvistk", "evaluate", str(gt), str(results)]
    command += ["--out", str(out), "--force"]
    for one in settings:
        command += ["--set", one]
    return measure(command, out / "metrics.json")


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("LVISTK_BENCH_WORKLOAD")
    return Path(kept) if kept else tmp_path_factory.mktemp("workloads")


def workload(folder: Path, images: int) -> Path:
    place = folder / str(images)
    if not (place / "gt.json").is_file():
        script = BENCH / "eval_workload.py"
        if not script.is_file():
            pytest.skip(f"no workload script at {script} (set LVISTK_SHARED)")
        command = [sys.executable, str(script), str(images), str(place)]
        subprocess.run(command, check=True, capture_output=True)
    if not (place / "store.h5").is_file():
        write_store(place)
    return place


def write_store(place: Path) -> None:
    """The workload's plain columns as a detection store."""
    images = {one["id"]: one for one in json.loads((place / "gt.json").read_bytes())["images"]}
    with h5py.File(place / "dt.h5") as source, h5py.File(place / "store.part", "w") as target:
        ids, first = np.unique(source["image_id"][()], return_index=True)
        order = np.argsort(first)
        ids, first = ids[order], first[order]
        boxes = source["bbox"][()]
        boxes[:, 2:] += boxes[:, :2]
        target.attrs.update({"format": "lvistk.detections", "version": 1, "role": "detections"})
        target["label"] = source["category_id"][()].astype(np.int32) - 1
        target["score"] = source["score"][()]
        target["box"] = boxes
        for name in ("rle", "rle_offset"):
            source.copy(name, target)
        sizes = [(images[i]["height"], images[i]["width"]) for i in ids.tolist()]
        target["mask_area"], target["mask_box"] = mask_extents(source, [*first, len(boxes)], sizes)
        target["category_ids"] = np.arange(1, 1204)
        target["images/id"] = ids.astype(np.int64)
        target["images/height"] = np.array([images[i]["height"] for i in ids.tolist()], np.int32)
        target["images/width"] = np.array([images[i]["width"] for i in ids.tolist()], np.int32)
        target["images/row"] = np.append(first, len(boxes)).astype(np.int64)
    (place / "store.part").rename(place / "store.h5")


def mask_extents(
    source: h5py.File, rows: list[int], sizes: list[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """What a writer of stores adds: areas and tight boxes of all masks, image by image."""
    found = []
    for (first, last), size in zip(itertools.pairwise(rows), sizes, strict=True):
        offsets = source["rle_offset"][first : last + 1].tolist()
        text = source["rle"][offsets[0] : offsets[-1]].tobytes()
        masks = [text[a - offsets[0] : b - offsets[0]] for a, b in itertools.pairwise(offsets)]
        found.append(extents(masks, size))
    areas, boxes = (np.concatenate(column).astype(np.int32) for column in zip(*found, strict=True))
    return areas, boxes


def row(name: str, cost: Cost, base: Cost | None) -> str:
    times = f"{base.wall / cost.wall:.1f}" if base else "-"
    share = f"{base.peak / cost.peak:.1f}" if base else "-"
    return (
        f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.peak:.0f} | {times} | {share} | "
        f"{100 * cost.score:.4f} |"
    )


@pytest.mark.parametrize("images", SIZES)
def test_beside_peers(workloads: Path, tmp_path: Path, images: int) -> None:
    place = workload(workloads, images)
    gt, masks, boxes = place / "gt.json", place / "dt_segm.json", place / "dt_bbox.json"
    cache = gt.with_name(f".{gt.name}.lvistk-truth")
    plain = ("boundary=false", "fixed=false")  # what the peers compute
    for file in (masks, boxes, place / "store.h5"):  # compile
        ours(gt, file, tmp_path / "warm")
    peer = subprocess.run(
        [sys.executable, "-c", "import hotcoco"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.environ.get("LVISTK_BENCH_PEERS", "")},
    )
    lines, costs = [], {}
    for name, file, kind in (("masks", masks, "segm"), ("boxes", boxes, "bbox")):
        base = None
        if peer.returncode == 0:
            command = [sys.executable, "-c", HOTCOCO, str(gt), str(file), kind]
            base = costs[f"hotcoco {name}"] = measure(command)
            lines.append(row(f"hotcoco, {name}", base, base))
        else:
            lines.append(f"| hotcoco, {name} | not installed | | | | | |")
        if images <= LVIS_API_IMAGES:
            command = [sys.executable, "-c", LVIS_API, str(gt), str(file), kind]
            lines.append(row(f"lvis-api, {name}", measure(command), base))
        cache.unlink(missing_ok=True)
        like = (*plain, f'kinds=["{kind}"]')
        costs[name] = ours(gt, file, tmp_path / "a", *like)
        lines.append(row(f"lvistk, {name}", costs[name], base))
        if name == "masks":
            more = (
                ("masks, ground truth in its cache", file, like),
                ("masks from the store", place / "store.h5", like),
                ("masks and boxes", file, plain),
                ("masks and boxes from the store", place / "store.h5", plain),
                ("all: boundary AP, AP-fixed too", file, ()),
            )
            for what, results, settings in more:
                costs[what] = ours(gt, results, tmp_path / "b", *settings)
                lines.append(row(f"lvistk, {what}", costs[what], base))
    print(f"\n{images} images; time and memory as factors of hotcoco's")
    print("| | wall s | CPU s | peak MB | faster | smaller | AP |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    if images >= GOAL_IMAGES and "hotcoco masks" in costs:
        masks_base, boxes_base = costs["hotcoco masks"], costs["hotcoco boxes"]
        assert masks_base.wall >= 4 * costs["masks"].wall
        assert masks_base.peak >= 6 * costs["masks"].peak
        assert masks_base.wall >= 8 * costs["masks from the store"].wall
        assert boxes_base.wall >= 1.5 * costs["boxes"].wall


def test_first_compilation(tmp_path: Path, workloads: Path) -> None:
    """What the first run of an installation costs more, in an empty cache folder."""
    place = workload(workloads, min(SIZES))
    gt, masks = place / "gt.json", place / "dt_full.json"
    os.environ["NUMBA_CACHE_DIR"] = str(tmp_path / "kernels")
    try:
        cold, warm = (ours(gt, masks, tmp_path / name) for name in ("cold", "warm"))
    finally:
        del os.environ["NUMBA_CACHE_DIR"]
    assert cold.wall - warm.wall < 30
    print(f"\nfirst run {cold.wall:.1f} s ({cold.cpu:.1f} CPU), second {warm.wall:.1f} s")
