"""The examples of docs/python.md run as they are printed, one after the other."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.data.exchange.annotation_records import category_table
from lvistk.data.index.lvis_write import write_results
from tests.api.small_run import PIPELINE
from tests.command_line import small_world

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = small_world(tmp_path, images=4)
    monkeypatch.chdir(tmp_path)
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/finetune").mkdir()
    Path("model.safetensors").rename("runs/mine/finetune/model.safetensors")
    Path("train2017").rename("holiday")
    Path("train.json").rename("val.json")
    cv2.imwrite("street.jpg", np.full((60, 80, 3), 90, np.uint8))
    Path("lvistk.toml").write_text(PIPELINE)
    rows = [index.annotations(i) for i in range(len(index))]
    ids = [one["id"] for one in category_table(index.categories)]
    results = [
        {
            "image_id": int(index.image_ids[i]),
            "category_id": ids[label],
            "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
            "segmentation": [[float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]],
            "score": 0.5,
        }
        for i, one in enumerate(rows)
        for (x0, y0, x1, y1), label in zip(one.boxes, one.labels, strict=True)
    ]
    write_results(Path("results.json"), results)
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    assert Path("street.png").is_file()
    assert len(BLOCKS) > 8
