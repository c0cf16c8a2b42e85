"""A detection store, filter-missing and an epoch's plan at the size of a pool, without images.

    python -m tests.bench.pool_sized --rows 1700000 --folder pool

Prints a JSON line for each step: processor seconds, wall seconds, and peak memory of its process in MB.
Rows are drawn: about four detections per image with masks of 20 bytes, of 1203 categories, in shards of 500
images. Each step runs in a process of its own, so that its memory is its own.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from lvistk.artifacts import StageFolder, Wanted
from lvistk.config.train import SamplerSettings, SelfTrainSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore
from lvistk.data.store.shard_file import write_shard_file
from lvistk.data.training.samplers import (
    fill_up,
    group_by_aspect,
    mix,
    repeat_factors,
    repeated_rows,
    subsample,
)
from lvistk.masks.polygons import starts
from lvistk.selftrain.pseudo import PseudoSource
from lvistk.selftrain.summary import summarise_store
from lvistk.stages import filter_missing
from lvistk.stages.specifications.filter_missing import FilterMissingInputs, FilterMissingSettings
from lvistk.structures.categories import Categories

CATEGORIES, SHARD, PER_IMAGE, MASK_BYTES = 1203, 500, 4, 20
SIDE = 640


def categories() -> Categories:
    counts = np.full(CATEGORIES, 50)
    groups = np.array(["r", "c", "f"])[np.arange(CATEGORIES) % 3]
    names = tuple(f"category {c}" for c in range(CATEGORIES))
    return Categories(np.arange(1, CATEGORIES + 1), names, groups, counts, counts)


def write_store(folder: Path, rows: int) -> None:
    """Shards of drawn detections with names and rotations, as those of a pool."""
    for k, first in enumerate(range(0, rows, SHARD)):
        rng = np.random.default_rng(k)
        images = min(SHARD, rows - first)
        per_image = rng.poisson(PER_IMAGE, images)
        count = int(per_image.sum())
        corner = rng.random((count, 2), np.float32) * SIDE * 0.7
        sides = 20 + rng.random((count, 2), np.float32) * SIDE * 0.3
        names = "".join(f"train_{n % 16:x}/{n:016x}.jpg" for n in range(first, first + images))
        write_shard_file(
            folder / "store" / f"{k:05d}.h5",
            {
                "label": rng.integers(0, CATEGORIES, count).astype(np.int32),
                "score": (0.3 + 0.7 * rng.random(count)).astype(np.float32),
                "box": np.concatenate([corner, corner + sides], axis=1),
                "rle": rng.integers(48, 90, count * MASK_BYTES).astype(np.uint8),
                "rle_offset": np.arange(count + 1, dtype=np.int64) * MASK_BYTES,
                "images/id": np.arange(first + 1, first + images + 1),
                "images/height": np.full(images, SIDE, np.int32),
                "images/width": rng.choice([480, 800], images).astype(np.int32),
                "images/row": starts(per_image),
                "images/name": np.frombuffer(names.encode(), np.uint8),
                "images/name_offset": np.arange(images + 1, dtype=np.int64)
                * (len(names) // images),
                "images/rotation": np.zeros(images, np.int32),
                "category_ids": np.arange(1, CATEGORIES + 1),
            },
            role="pseudo",
        )


def write_annotations(folder: Path, rows: int) -> None:
    """An LVIS file of as many images, each with one square annotated."""
    ids = range(1, rows + 1)
    url = "http://images.cocodataset.org/train2017"
    with (folder / "train.json").open("w") as out:
        out.write('{"images": [')
        out.write(
            ",".join(
                f'{{"id":{i},"height":{SIDE},"width":800,"coco_url":"{url}/{i:012d}.jpg",'
                f'"neg_category_ids":[{i % CATEGORIES + 1}],"not_exhaustive_category_ids":[]}}'
                for i in ids
            )
        )
        out.write('],"annotations":[')
        square = "[[100.0,100.0,200.0,100.0,200.0,200.0,100.0,200.0]]"
        out.write(
            ",".join(
                f'{{"id":{i},"image_id":{i},"category_id":{(7 * i) % CATEGORIES + 1},"area":10000.0,'
                f'"bbox":[100.0,100.0,100.0,100.0],"segmentation":{square}}}'
                for i in ids
            )
        )
        rest = [{"id": c + 1, "name": f"category {c}", "frequency": "f"} for c in range(CATEGORIES)]
        out.write(f'],"categories":{json.dumps(rest)}}}')


def open_store(folder: Path, rows: int) -> None:
    store = DetectionStore.open(folder / "store")
    assert len(store) == rows
    for row in np.random.default_rng(0).integers(0, rows, 1000).tolist():
        assert store.name(row).endswith(f"{row:016x}.jpg") and store[row].masks is not None


def summarise(folder: Path, rows: int) -> None:
    table = summarise_store(DetectionStore(folder / "store", check=False), categories())
    assert sum(row["images"] for row in table) > rows


def open_source(folder: Path, rows: int) -> None:
    """Thresholds by quantile of each category, and which images have a usable label."""
    settings = SelfTrainSettings(pseudo_by="category", pseudo_quantile=0.8, pseudo_per_image=10)
    store = DetectionStore(folder / "store", check=False)
    source = PseudoSource(store, folder, categories=categories(), settings=settings)
    assert 0.4 * rows < len(source) < 0.8 * rows
    for row in np.random.default_rng(0).integers(0, len(source), 100).tolist():
        assert source.wide(np.array([row])).shape == (1,)


def build_index(folder: Path, rows: int) -> None:
    index = AnnotationIndex.open([folder / "train.json"], cache=cache_beside(folder / "missing"))
    assert len(index) == rows


def filter_rows(folder: Path, rows: int) -> None:
    with closing(StageFolder.open(folder / "missing", Wanted("filter-missing", {}, {}))) as stage:
        inputs = FilterMissingInputs(detections=(folder / "store",), train=(folder / "train.json",))
        summary = filter_missing.run(FilterMissingSettings(), inputs, stage)
    assert summary["photos"] == rows and summary["missing"] > rows


def plan_epochs(folder: Path, rows: int) -> None:
    """Three epochs in which all rows of the pool are a source beside 100,000 annotated images."""
    annotated = 100_000
    rng = np.random.default_rng(0)
    factors = repeat_factors(
        np.arange(annotated + 1) * 12,
        rng.integers(0, CATEGORIES, annotated * 12),
        categories=CATEGORIES,
        settings=SamplerSettings(repeat_images=1000),
    )
    wide = rng.random(annotated) < 0.7
    for epoch in range(3):
        others = subsample(rows, rows, seed=0, epoch=epoch)
        assert len(others) == rows
        plan = mix(repeated_rows(factors, seed=0, epoch=epoch), others, seed=0, epoch=epoch)
        shape = np.where(plan.sources == 0, wide[plan.rows % annotated], plan.rows % 3 > 0)
        assert len(fill_up(group_by_aspect(plan, shape, batch=16), batch=16)) % 16 == 0


STEPS: dict[str, Callable[[Path, int], None]] = {
    "write the store": write_store,
    "open and check it": open_store,
    "summary per category": summarise,
    "source with quantiles": open_source,
    "plan three epochs": plan_epochs,
    "write the annotations": write_annotations,
    "build the index": build_index,
    "filter-missing": filter_rows,
}


def measured(step: str, folder: Path, rows: int) -> None:
    """Run a step and print what it took."""
    started, processor = time.monotonic(), time.process_time()
    STEPS[step](folder, rows)
    row = {
        "step": step,
        "rows": rows,
        "processor_s": round(time.process_time() - processor, 1),
        "wall_s": round(time.monotonic() - started, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_700_000)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    for step in STEPS:
        process = spawn.Process(target=measured, args=(step, given.folder, given.rows))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{step} failed")


if __name__ == "__main__":
    main()
