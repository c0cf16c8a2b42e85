"""Every stage on a handful of images, and what of its folder does not depend on the clock."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.command_line import INFER, SIX, assign, small_world, train_repr

CLOCK = frozenset(
    ("started", "finished", "seconds", "time", "photos_per_s", "data_share", "memory_gib", "crc32")
)
"""Names of values that differ between two runs of the same command."""
TIMED = frozenset(("metrics.jsonl", "curves.png"))
"""Outputs that hold such values."""
TRANSIENT = frozenset((".index",))
"""Folders of caches, whose names depend on times of change; they are looked through for leftovers."""


def pool_labels(root: Path, out: Path) -> list[object]:
    given = ["--source", "openimages", "--model", root / "model.safetensors"]
    given += ["--pool", root / "pool", "--out", out, "--device", "cpu"]
    return ["pseudo-label", *given, *assign(*INFER, "merge.score_threshold=0.01")]


def validated(root: Path, out: Path) -> list[object]:
    given = ["--val", root / "train.json", "--val-images", root]
    return [*train_repr(root, out), *given, *assign("loop.evaluate_epochs=1", *INFER_FEW)]


INFER_FEW = ("loop.epochs=2", "loop.checkpoint_steps=2")


def import_weights(root: Path, out: Path) -> list[object]:
    given = ["--categories", root / "train.json", "--out", out]
    return ["import-weights", root / "model.safetensors", *given]


def generate(root: Path, out: Path) -> list[object]:
    counts = ["--images", 4, "--val-images", 2, "--pool-images", 2, "--categories", 4]
    return ["generate", out, *counts, "--long-side", 64, "--workers", 1]


STAGES: dict[str, Callable[[Path, Path], list[object]]] = {
    **SIX,
    "pseudo-label of the pool": pool_labels,
    "train-repr with validation": validated,
    "import-weights": import_weights,
    "generate": generate,
}
"""The command line of every stage, called with the world and the folder to write."""


def make_world(root: Path) -> None:
    """Images, annotations, a model and a pool below ``root``; ``seen`` is left to the caller."""
    small_world(root)
    shard = root / "pool" / "train_0"
    shard.mkdir(parents=True)
    for number, image in enumerate(sorted((root / "train2017").iterdir())):
        shutil.copyfile(image, shard / f"{number:016x}.jpg")


def content(folder: Path) -> dict[str, Any]:
    """What each file below ``folder`` holds, by relative path, without what depends on the clock."""
    return {
        path.relative_to(folder).as_posix(): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not TRANSIENT & set(path.relative_to(folder).parts)
    }


def _content(path: Path) -> Any:
    match path.name:
        case "stage.json":
            return _manifest(json.loads(path.read_text()))
        case "metrics.jsonl":
            return [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
        case "curves.png" | "README.md":
            return "there"
        case _:
            return path.read_bytes()


def _manifest(table: dict[str, Any]) -> Any:
    outputs = table.get("outputs", {})
    kept = {
        name: {file: [size, digest] for file, (size, _, digest) in one["files"].items()}
        for name, one in outputs.items()
        if name not in TIMED
    }
    return _timeless({**table, "outputs": [sorted(outputs), kept]})


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(one) for name, one in value.items() if name not in CLOCK}
    if isinstance(value, list):
        return [_timeless(one) for one in value]
    return value


def leftovers(root: Path) -> list[str]:
    """Files of killed writers below ``root``, and locks that nobody holds."""
    names = [*root.rglob(".*.part"), *root.rglob("*/.lock"), *root.rglob(".*.old")]
    return sorted(path.relative_to(root).as_posix() for path in names)
