"""What the tests of bad input spoil, and how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

READ_IMAGES = ("train-repr", "pseudo-label", "finetune", "tta-infer")
READ_MODELS = ("pseudo-label", "finetune", "tta-infer")
IMAGE = "train2017/000000000007.jpg"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
