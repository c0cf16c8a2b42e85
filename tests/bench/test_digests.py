"""What digests and the lenient entry for JSON cost: CPU seconds with and without, in turns, the best of some.

``LVISTK_BENCH_ANNOTATIONS`` sets the size of the annotation file (200,000).
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lvistk.config.model import ModelSettings
from lvistk.data.index import annotation_index, flat_arrays
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store import detection_shard
from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.evaluation.ground_truth import cache as gt_cache
from lvistk.json_input.text import json_text
from lvistk.models import tensor_file
from lvistk.models.build import build_model
from lvistk.models.model_file import load_model, save_model
from lvistk.stages.commands import export
from lvistk.structures.categories import Categories
from tests.bench.lvis_sized import write_lvis_sized
from tests.evaluation.worlds import FAST
from tests.shared_data import needs_realdata

pytestmark = pytest.mark.bench
SIZE = int(os.environ.get("LVISTK_BENCH_ANNOTATIONS", "200000"))
TURNS = 5
MOST = 1.05
"""The goal of commands: CPU seconds with digests over those without."""
SECONDS_PER_GB = 1.0
"""The goal of a file that is read whole."""


def costs(run: Callable[[], object], without: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds of ``run`` with digests, and within the context ``without()``."""
    best = [float("inf"), float("inf")]
    for turn in range(TURNS + 1):
        for number, context in enumerate((contextlib.nullcontext, without)):
            with context():
                started = time.process_time()
                run()
                if turn:  # the first compiles and fills caches
                    best[number] = min(best[number], time.process_time() - started)
    return best[0], best[1]


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    old = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, old)


def told(name: str, pair: tuple[float, float]) -> None:
    print(f"\n{name}: {pair[0]:.3f} s with, {pair[1]:.3f} s without, {pair[0] / pair[1]:.3f} times")
    assert pair[0] < MOST * pair[1]


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digests") / "train.json"
    write_lvis_sized(path, annotations=SIZE)
    return path


@needs_realdata
def test_evaluation_from_a_store(annotations: Path) -> None:
    store = annotations.with_name("store")
    export.run(annotations, store, kind="store")
    settings = FAST

    def run() -> None:
        detection_shard._checked.clear()
        evaluate(annotations, Results(store), settings)

    @contextlib.contextmanager
    def without() -> Iterator[None]:
        def checksum(handle: Any) -> int:
            return int(
                annotations.with_name(f".{annotations.name}.lvistk-truth")
                .read_bytes()[:200]
                .split()[2],
                16,
            )

        with (
            replaced(detection_shard, "check_content", lambda *args, **named: None),
            replaced(gt_cache, "_checksum", checksum),
        ):
            yield

    told("evaluation from a store", costs(run, without))


@needs_realdata
def test_evaluation_from_json(annotations: Path) -> None:
    """The lenient entry of a file in the usual form: marks and encodings are looked for, nothing else."""
    store = annotations.with_name("store")
    if not store.is_dir():
        export.run(annotations, store, kind="store")
    results = annotations.with_name("results.json")
    export.run(store, results, kind="segm")
    whole, _ = costs(lambda: evaluate(annotations, Results(results), FAST), contextlib.nullcontext)
    entry, _ = costs(lambda: json_text(results), contextlib.nullcontext)
    told("evaluation from JSON", (whole, whole - 3 * entry))


@needs_realdata
def test_index_of_training(annotations: Path, tmp_path: Path) -> None:
    """Built, and opened by another process for the first time."""

    def run() -> None:
        cache = tmp_path / str(time.monotonic_ns())
        index = AnnotationIndex.open([annotations], cache=cache, defects="skip")
        (index.folder / flat_arrays.CHECKED).unlink(missing_ok=True)
        AnnotationIndex.open([annotations], cache=cache, defects="skip")

    @contextlib.contextmanager
    def without() -> Iterator[None]:
        class NoChecksum:
            @staticmethod
            def crc32(data: Any, value: int = 0) -> int:
                return 0

        with (
            replaced(flat_arrays, "zlib", NoChecksum),
            replaced(annotation_index, "check_arrays", lambda folder: False),
        ):
            yield

    told("index, built and opened", costs(run, without))


def test_loading_a_model(tmp_path: Path) -> None:
    """Mask R-CNN with a ResNet-50 and LVIS's categories: 53 M numbers."""
    count = 1203
    categories = Categories(
        ids=np.arange(1, count + 1),
        names=tuple(f"category {k}" for k in range(count)),
        frequency=np.array(["f"] * count),
        image_count=np.full(count, 100),
        instance_count=np.full(count, 100),
    )
    path, cpu = tmp_path / "model.safetensors", torch.device("cpu")
    torch.set_num_threads(1)
    save_model(path, build_model(ModelSettings(), categories), extra={})
    _, digest = tensor_file._table_and_digest(path)
    without = lambda: replaced(tensor_file, "_digest", lambda tensors, table: digest)  # noqa: E731
    checked, unchecked = costs(lambda: load_model(path, device=cpu), without)
    gb = path.stat().st_size / 1e9
    print(f"\nloading a model of {gb:.3f} GB: {checked:.3f} s with, {unchecked:.3f} s without")
    assert checked - unchecked < SECONDS_PER_GB * gb
