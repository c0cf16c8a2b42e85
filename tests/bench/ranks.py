"""The sampler of 64 ranks over images of LVIS v1 train's number and tail: start-up, memory, balance.

python -m tests.bench.ranks --ranks 64
"""

import argparse
import json
import resource
import time
import tracemalloc

import numpy as np

from lvistk.config.train import SamplerSettings
from lvistk.data.training.samplers import fill_up, mix, rank_batch, repeat_factors, repeated_rows

IMAGES, CATEGORIES, ANNOTATIONS = 100_170, 1203, 1_270_141
BATCHES = 200
"""Batches of each rank whose keys are made and timed."""


def drawn_labels(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (I + 1,) and labels of annotations: lengths and categories with long tails."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, CATEGORIES + 1) ** 1.3
    labels = rng.choice(CATEGORIES, ANNOTATIONS, p=share / share.sum())
    weight = rng.lognormal(0, 1, IMAGES)
    owner = np.sort(rng.choice(IMAGES, ANNOTATIONS, p=weight / weight.sum()))
    return np.searchsorted(owner, np.arange(IMAGES + 1)), labels


def simulate(ranks: int, per_rank: int) -> dict[str, float]:
    """What each rank does before its first sample, in turns, and what an epoch gives each."""
    row, labels = drawn_labels()
    instances = np.diff(row)
    tracemalloc.start()
    started = time.process_time()
    factors = repeat_factors(row, labels, categories=CATEGORIES, settings=SamplerSettings())
    counted = time.process_time()
    rows = repeated_rows(factors, seed=0, epoch=0)
    plan = fill_up(mix(rows, np.zeros(0, np.int64), seed=0, epoch=0), batch=ranks * per_rank)
    planned = time.process_time()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    by_rank = plan.rows.reshape(-1, ranks, per_rank)  # steps, ranks, images
    load = instances[by_rank].sum(axis=2)
    before = time.process_time()
    for rank in range(ranks):
        for number in range(BATCHES):
            keys = rank_batch(
                plan, number, batch_size_per_rank=per_rank, rank=rank, world_size=ranks
            )
            assert [key.row for key in keys] == by_rank[number, rank].tolist()
    keyed = time.process_time() - before
    totals = load.sum(axis=0)
    return {
        "ranks": ranks,
        "images": IMAGES,
        "samples": len(plan),
        "steps": len(by_rank),
        "repeat_factors_s": counted - started,
        "plan_s": planned - counted,
        "plan_mb": kept / 1e6,
        "plan_peak_mb": peak / 1e6,
        "keys_ms_per_batch": 1e3 * keyed / (ranks * BATCHES),
        "samples_per_rank_least": per_rank * len(by_rank),
        "samples_per_rank_most": per_rank * len(by_rank),
        "instances_of_the_fullest_rank_over_mean": float(totals.max() / totals.mean()),
        "instances_of_a_steps_fullest_rank_over_mean": float(
            (load.max(axis=1) / load.mean(axis=1)).mean()
        ),
        "process_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--per-rank", type=int, default=2)
    given = parser.parse_args()
    print(json.dumps(simulate(given.ranks, given.per_rank), indent=2))


if __name__ == "__main__":
    main()
