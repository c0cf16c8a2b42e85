"""A detection store gives the scores of the two results files that would be written from it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.data.store.detection_store import DetectionWriter
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.masks import rle
from lvistk.stages.commands import export
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections
from tests.evaluation.random_worlds import random_world
from tests.evaluation.worlds import (
    FAST,
    SIDE,
    annotation,
    assert_official,
    both_result,
    image,
    world,
    write,
)
from tests.reference.evaluation import evaluate_plainly


def categories_of(gt: dict) -> Categories:
    ids = np.array([category["id"] for category in gt["categories"]], np.int64)
    zeros = np.zeros(len(ids), np.int64)
    return Categories(ids, ("",) * len(ids), np.array(["f"] * len(ids)), zeros, zeros)


def fill(folder: Path, gt: dict, results: list[dict], *, mask_scores: bool) -> tuple[Path, list]:
    """A store of two shards with ``results``, and what its JSON of masks would hold."""
    known = {category["id"]: k for k, category in enumerate(gt["categories"])}
    writer = DetectionWriter(folder / "detections", categories=categories_of(gt), role="detections")
    rng = np.random.default_rng(0)
    written, images = [], []
    for one in gt["images"]:
        mine = [r for r in results if r["image_id"] == one["id"] and r["category_id"] in known]
        ranked = rng.permutation(len(mine)).astype(np.float32) / 7
        boxes = np.array([r["bbox"] for r in mine], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        images.append(
            Detections(
                image_id=one["id"],
                size=(one["height"], one["width"]),
                boxes=boxes,
                scores=np.array([r["score"] for r in mine], np.float32),
                labels=np.array([known[r["category_id"]] for r in mine], np.int32),
                masks=[r["segmentation"]["counts"].encode() for r in mine],
                mask_scores=ranked if mask_scores else None,
            )
        )
        for r, box, rank in zip(mine, boxes.astype(float).tolist(), ranked.tolist(), strict=True):
            x1, y1, x2, y2 = box
            score = float(np.float32(r["score"]))
            written.append({**r, "score": score, "rank": rank, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    writer.write_shard(0, images[:1])
    writer.write_shard(1, images[1:])
    return folder / "detections", written


@pytest.mark.parametrize("mask_scores", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_store_equals_its_files(tmp_path: Path, seed: int, mask_scores: bool) -> None:
    gt, results = random_world(seed, images=4, side=40, boxes="both")
    store, written = fill(tmp_path, gt, results, mask_scores=mask_scores)
    masks = [
        {
            "image_id": r["image_id"],
            "category_id": r["category_id"],
            "segmentation": r["segmentation"],
            "score": r["rank"] if mask_scores else r["score"],
        }
        for r in written
    ]
    boxes = [{k: v for k, v in r.items() if k != "segmentation"} for r in written]
    gt_path, masks_path = write(tmp_path, gt, masks)
    boxes_path = tmp_path / "boxes.json"
    boxes_path.write_text(json.dumps(boxes))
    found = evaluate(gt_path, Results(store), FAST)
    assert_official(gt_path, masks_path, "segm", found)
    assert_official(gt_path, boxes_path, "bbox", found)
    assert evaluate(gt_path, Results(tmp_path), FAST).metrics == found.metrics
    two = evaluate(gt_path, Results(masks_path, boxes_path), FAST)
    assert two.metrics["segm"] == found.metrics["segm"]


def older(shard: h5py.File) -> None:
    """As before digests: a changed file is read, as far as its values make sense."""
    shard.attrs["version"] = 1
    del shard.attrs["digest"]


def put(column: str, place: Any, value: Any) -> Callable[[Any], None]:
    return lambda shard: shard[column].__setitem__(place, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("score", 1, np.nan), "detection 1 of this file: its score nan is not finite"),
        (put("box", (1, 2), np.inf), "detection 1 of this file: its box"),
        (put("label", 1, 99), "detection 1 of this file: label 99 is not in 0..2"),
        (put("label", 1, -1), "detection 1 of this file: label -1 is not in 0..2"),
        (
            put("images/id", 0, 4242),
            "detection 1 (image_id 4242, category_id 8): the ground truth has",
        ),
        (put("rle_offset", 2, 10**9), "'rle_offset' goes backwards"),
    ],
    ids=["score", "box", "label", "negative label", "image", "offset"],
)
def test_broken_stores(tmp_path: Path, change: Callable[[Any], None], words: str) -> None:
    gt, results = random_world(3, images=4, side=30, boxes="both")
    store, _ = fill(tmp_path, gt, results, mask_scores=True)
    path, _ = write(tmp_path, gt, [])
    with h5py.File(store / "00001.h5", "r+") as shard:
        change(shard)
        older(shard)
    with pytest.raises(UserError) as fast:
        evaluate(path, Results(store), FAST)
    with pytest.raises(UserError) as plain:
        evaluate_plainly(path, store, None, FAST)
    assert str(fast.value) == str(plain.value)
    assert str(fast.value).startswith(f"{store / '00001.h5'}: {words}")


def test_truncated_store(tmp_path: Path) -> None:
    gt, results = random_world(1, images=4, side=40, boxes="both")
    store, _ = fill(tmp_path, gt, results, mask_scores=False)
    gt_path, _ = write(tmp_path, gt, [])
    shard = store / "00001.h5"
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"00001\.h5"):
        evaluate(gt_path, Results(store), FAST)


def test_store_without_areas_of_masks(tmp_path: Path) -> None:
    """An older one: every mask is decoded, and all is the same."""
    gt, results = random_world(3, images=4, side=40, boxes="both")
    store, _ = fill(tmp_path, gt, results, mask_scores=False)
    gt_path, _ = write(tmp_path, gt, [])
    found = evaluate(gt_path, Results(store), EvaluateSettings())
    for shard in store.glob("*.h5"):
        with h5py.File(shard, "a") as file:
            del file["mask_area"], file["mask_box"]
            older(file)
    again = evaluate(gt_path, Results(store), EvaluateSettings())
    assert again.metrics == found.metrics
    for name, one in found.tables.items():
        np.testing.assert_array_equal(one.precision, again.tables[name].precision)


def test_broken_mask_in_a_store(tmp_path: Path) -> None:
    gt, results = random_world(3, images=4, side=40, boxes="both")
    for one in results:
        one["segmentation"]["counts"] = "5"
    store, _ = fill(tmp_path, gt, results, mask_scores=False)
    gt_path, _ = write(tmp_path, gt, [])
    with h5py.File(store / "00001.h5") as file:
        assert "mask_area" not in file
    with pytest.raises(UserError, match=r"\.h5: detection .*: its RLE does not fill its size"):
        evaluate(gt_path, Results(store), FAST)


def test_store_of_which_some_files_have_masks(tmp_path: Path) -> None:
    gt, results = random_world(3, images=4, side=40, boxes="both")
    store, _ = fill(tmp_path, gt, results, mask_scores=False)
    gt_path, _ = write(tmp_path, gt, [])
    with h5py.File(store / "00001.h5", "a") as file:
        for name in ("rle", "rle_offset", "mask_area", "mask_box"):
            del file[name]
        older(file)
    with pytest.raises(
        UserError, match=r"00001\.h5: has no masks, but other files of the store have"
    ):
        evaluate(gt_path, Results(store), FAST)


def test_empty_masks_beside_boxes_count_by_the_box_officially_and_not_in_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/evaluate.md says: the same detections, and two scores, unless the area is chosen."""
    nothing = {"size": [SIDE, SIDE], "counts": rle.encode(np.zeros((SIDE, SIDE))).decode()}
    gt = world([image(1), image(2, negative=(1,))], [annotation(1, 1, 1, (5, 5, 10, 10))])
    results = [both_result(1, 1, (5, 5, 10, 10), 0.5)]
    results.append(both_result(2, 1, (20, 20, 10, 10), 0.8) | {"segmentation": nothing})
    gt_path, path = write(tmp_path, gt, results)
    export.run(
        path, tmp_path / "a.h5", kind="store", options=export.ExportOptions(annotations=gt_path)
    )
    assert "1 detections have a box and a mask without pixels" in capsys.readouterr().err
    scores = {
        (area, file.suffix): evaluate(
            gt_path, Results(file), dataclasses.replace(FAST, area=area)
        ).metrics["segm"]["AP"]
        for area in ("official", "mask", "box")
        for file in (path, tmp_path / "a.h5")
    }
    low, high = scores["official", ".json"], scores["official", ".h5"]
    assert (low, high) == (pytest.approx(0.5), pytest.approx(1.0))
    assert scores["mask", ".json"] == scores["mask", ".h5"] == high
    assert scores["box", ".json"] == scores["box", ".h5"] == low
