"""The loader of 64 ranks over a file of LVIS v1 train's size: start-up, memory, and how even their loads are.

    python -m tests.bench.loader_ranks FOLDER --ranks 64

FOLDER gets a file of 1,270,141 annotations, copies of those of real images (``shared/realdata``), and its
index. Some ranks run as they do in a training, each a process with workers; then the first batches of
all ranks are made in turn, in one process, and compared.
"""

import argparse
import json
import multiprocessing
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from lvistk.config.train import AugmentSettings, LoaderSettings, SamplerSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.training.dataset import DataSettings, TrainingData
from lvistk.data.training.loader import TrainLoader
from tests.bench.lvis_sized import write_lvis_sized
from tests.shared_data import REALDATA

PER_RANK = 2
SHORT_EDGES = (640, 672, 704, 736, 768, 800)
WORKERS = 4
WHOLE_RANKS = 3
"""That run as processes with workers."""


def private_mb(pid: int | str = "self") -> float:
    """Memory of a process that no other shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return (kilobytes["Private_Dirty"] + kilobytes["Private_Clean"]) / 1024


def training_data(folder: Path) -> TrainingData:
    index = AnnotationIndex.open([folder / "train.json"], cache=folder / "cache", defects="skip")
    settings = DataSettings(
        AugmentSettings(short_edges=SHORT_EDGES), SamplerSettings(), defects="skip"
    )
    return TrainingData(index, REALDATA / "images", settings=settings)


def one_rank(folder: Path, rank: int, ranks: int) -> None:
    """Print what a rank takes from nothing to its first batch, and its memory after some batches."""
    before = private_mb()
    started, processor = time.perf_counter(), time.process_time()
    data = training_data(folder)
    opened = time.perf_counter()
    loader = TrainLoader(
        data,
        batch_size_per_rank=PER_RANK,
        settings=LoaderSettings(workers=WORKERS),
        rank=rank,
        world_size=ranks,
    )
    batches = loader.epoch(0)
    next(batches)
    first = time.perf_counter()
    row = {
        "rank": rank,
        "opened_s": round(opened - started, 2),
        "first_batch_s": round(first - started, 2),
        "processor_s": round(time.process_time() - processor, 2),
    }
    for _ in range(8 * WORKERS):
        next(batches)
    workers = [private_mb(worker.pid) for worker in loader._loader._iterator._workers]
    row["rank_private_mb"] = round(private_mb() - before, 1)
    row["worker_private_mb"] = round(max(workers), 1)
    print(json.dumps(row), flush=True)
    loader.close()


def all_ranks(folder: Path, ranks: int, batches: int) -> None:
    """Print how even the first batches of all ranks are, and that no sample is made twice."""
    data = training_data(folder)
    plan = data.plan(0, batch=ranks * PER_RANK)
    seconds, instances = np.zeros((ranks, batches)), np.zeros((ranks, batches))
    for rank in range(ranks):
        settings = LoaderSettings(workers=0)
        loader = TrainLoader(
            data, batch_size_per_rank=PER_RANK, settings=settings, rank=rank, world_size=ranks
        )
        made = loader.epoch(0)
        for number in range(batches):
            started = time.process_time()
            _, targets = next(made)
            seconds[rank, number] = time.process_time() - started
            instances[rank, number] = sum(len(one) for one in targets)
    seconds[0, 0] = np.nan  # kernels are loaded then
    row = {
        "ranks": ranks,
        "images": len(data.sources[0]),
        "samples_of_an_epoch": len(plan),
        "batches_per_rank": batches,
        "ms_per_image": round(1e3 * float(np.nanmean(seconds)) / PER_RANK, 2),
        "slowest_rank_over_mean": round(
            float(np.nanmean(seconds, 1).max() / np.nanmean(seconds)), 2
        ),
        "slowest_of_a_step_over_mean": round(
            float((np.nanmax(seconds, 0) / np.nanmean(seconds, 0)).mean()), 2
        ),
        "instances_of_the_fullest_rank_over_mean": round(
            float(instances.sum(1).max() / instances.sum(1).mean()), 2
        ),
    }
    print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--batches", type=int, default=10)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if not (given.folder / "train.json").is_file():
        write_lvis_sized(given.folder / "train.json")
    spawn = multiprocessing.get_context("spawn")
    jobs = [(training_data, (given.folder,))]  # builds the index; what it prints is lvistk's own
    chosen = np.linspace(0, given.ranks - 1, WHOLE_RANKS).astype(int).tolist()
    jobs += [(one_rank, (given.folder, rank, given.ranks)) for rank in chosen]
    jobs += [(all_ranks, (given.folder, given.ranks, given.batches))]
    for job, words in jobs:
        process = spawn.Process(target=job, args=words)
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{job.__name__} failed")


if __name__ == "__main__":
    main()
