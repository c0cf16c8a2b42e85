"""Evaluation in Python gives what the command gives, whatever form ground truth and results have."""

import json
from pathlib import Path

import numpy as np
import pytest

import lvistk
from lvistk.config.evaluation import EvaluateSettings
from lvistk.masks import rle
from tests.command_line import small_world

FEW = EvaluateSettings(boundary=False, fixed=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images, and results that are the annotations with noise on boxes and scores."""
    root = tmp_path_factory.mktemp("scores")
    index = small_world(root, images=6)
    rng = np.random.default_rng(0)
    records = []
    for i in range(len(index)):
        one, size = index.annotations(i), index.size(i)
        for k, mask in enumerate(index.masks(i)):
            x0, y0, x1, y1 = one.boxes[k] + rng.normal(0, 2, 4)
            records.append(
                {
                    "image_id": int(index.image_ids[i]),
                    "category_id": int(index.categories.ids[one.labels[k]]),
                    "bbox": [float(v) for v in (x0, y0, x1 - x0, y1 - y0)],
                    "segmentation": {"size": list(size), "counts": mask.decode()},
                    "score": float(rng.uniform()),
                }
            )
    (root / "results.json").write_text(json.dumps(records))
    return root


def test_files_and_memory_agree(world: Path) -> None:
    gt, results = world / "train.json", world / "results.json"
    scores = lvistk.evaluate(gt, results, settings=FEW)
    assert scores.segm["AP"] == 1.0
    assert 0 < (scores.bbox["AP"] or 0) < 1
    table, records = json.loads(gt.read_text()), json.loads(results.read_text())
    assert lvistk.evaluate(table, records, settings=FEW).metrics == scores.metrics
    for record in records:  # as pycocotools gives masks, and as arrays
        size = tuple(record["segmentation"]["size"])
        counts = record["segmentation"]["counts"].encode()
        even = record["image_id"] % 2
        bitmap = rle.decode(counts, size).astype(bool)
        record["segmentation"] = {"size": size, "counts": counts} if even else bitmap
        record["score"] = np.float64(record["score"])
    assert lvistk.evaluate(table, records, settings=FEW).metrics == scores.metrics


def test_an_array_of_boxes(world: Path) -> None:
    records = json.loads((world / "results.json").read_text())
    rows = [[r["image_id"], *r["bbox"], r["score"], r["category_id"]] for r in records]
    boxes = [{k: v for k, v in r.items() if k != "segmentation"} for r in records]
    gt = world / "train.json"
    of_array = lvistk.evaluate(gt, np.array(rows), settings=FEW)
    assert of_array.metrics == lvistk.evaluate(gt, boxes, settings=FEW).metrics
    with pytest.raises(
        lvistk.UserError, match="masks were not evaluated; there are scores of bbox"
    ):
        of_array.segm["AP"]
    with pytest.raises(lvistk.UserError, match=r"an array \(2, 3\)"):
        lvistk.evaluate(gt, np.zeros((2, 3)))


def test_detections_of_a_model(world: Path) -> None:
    """By file names, masks and boxes each by their own ranking: as the store of tta-infer."""
    model = lvistk.load(world / "model.safetensors", device="cpu")
    detections = model.predict(sorted((world / "train2017").iterdir()), min_score=0.0)
    scores = lvistk.evaluate(world / "train.json", detections, settings=FEW)
    segm = [record for one in detections for record in one.to_lvis(kind="segm")]
    bbox = [record for one in detections for record in one.to_lvis(kind="bbox")]
    (world / "segm.json").write_text(json.dumps(segm))
    (world / "bbox.json").write_text(json.dumps(bbox))
    same = lvistk.evaluate(
        world / "train.json", world / "segm.json", boxes=world / "bbox.json", settings=FEW
    )
    assert scores.metrics == same.metrics


def test_categories_warnings_and_text(world: Path) -> None:
    scores = lvistk.evaluate(world / "train.json", world / "results.json", settings=FEW)
    assert {row["name"] for row in scores.per_category} >= {"c10", "c23"}
    assert scores.warnings == []
    assert repr(scores).startswith("Scores(segm AP 100.0, bbox AP ")


def test_mistakes(world: Path) -> None:
    with pytest.raises(lvistk.UserError, match=r"none\.json: no such file"):
        lvistk.evaluate("none.json", world / "results.json")
    with pytest.raises(lvistk.UserError, match="a value of type object"):
        lvistk.evaluate(world / "train.json", [{"score": object()}])
    with pytest.raises(lvistk.UserError, match="results: a table; give a list of records"):
        lvistk.evaluate(world / "train.json", {"detections": []})  # pyright: ignore[reportArgumentType]  # wrong on purpose
    rows = np.array([[1, 2, 3, 4, 5, 0.5, 1], [1, 2, 3, 4, 5, np.nan, 1]])
    with pytest.raises(lvistk.UserError, match="results: row 1 of the array holds a number"):
        lvistk.evaluate(world / "train.json", rows)
    broken = [{"image_id": 1, "category_id": 1, "score": None, "bbox": [1, 2, 3, 4]}]
    with pytest.raises(lvistk.UserError, match=r"^results\.json: detection 1"):
        lvistk.evaluate(world / "train.json", broken)
