"""What is wrong with a file is one line that names file and record, or a counted warning."""

import json
from pathlib import Path
from typing import Any

import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Results, evaluate
from tests.evaluation.worlds import FAST, annotation, both_result, box_result, image, mask_result
from tests.evaluation.worlds import world as make_world
from tests.reference.evaluation import evaluate_plainly

A = (2, 2, 10, 10)
GOOD = [mask_result(1, 1, A, 0.5)]


def gt_file(folder: Path, **changes: Any) -> Path:
    gt = make_world([image(1)], [annotation(1, 1, 1, A)])
    for path, value in changes.items():
        place = gt["annotations"][0] if path != "images" else gt
        place[path] = value
    target = folder / "gt.json"
    target.write_text(json.dumps(gt))
    return target


def complain(folder: Path, text: str, gt: Path | None = None) -> str:
    results = folder / "results.json"
    results.write_text(text)
    gt = gt or gt_file(folder)
    messages = []
    for engine in (
        lambda: evaluate(gt, Results(results), FAST),
        lambda: evaluate_plainly(gt, results, None, FAST),
    ):
        with pytest.raises(UserError) as caught:
            engine()
        messages.append(str(caught.value))
    assert "\n" not in messages[0]
    assert messages[0].split(" (in the piece")[0] == messages[1]  # of the file that was read
    return messages[0]


def changed(**changes: Any) -> str:
    return json.dumps([*GOOD, {**GOOD[0], **changes}])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(score=float("nan")), "detection 2 (image_id 1, category_id 1): its score"),
        (changed(score=float("inf")), "detection 2"),
        (changed(image_id=77), "image_id 77, category_id 1): the ground truth has no such image"),
        (changed(score=None), "score is missing"),
        (json.dumps([*GOOD, {"category_id": 4}]), "detection 2 (category_id 4): image_id"),
        (
            changed(bbox=[1, float("nan"), 2, 2]),
            "detection 2 (image_id 1, category_id 1): its bbox",
        ),
        (changed(image_id=10**20), f"image_id {10**20} is beyond 64 bits"),
        (
            changed(score="high"),
            "detection 2 (image_id 1, category_id 1): score 'high' is no number",
        ),
        (changed(segmentation=None), "no segmentation"),
        (changed(segmentation={"size": [40, 40], "counts": "zz"}), "RLE"),
        (changed(segmentation={"size": [40, 40], "counts": [1, 2]}), "RLE"),
        (changed(segmentation=[[1, 2, 3, 4]]), "fewer than three points"),
        (changed(segmentation=[[1, 2, 3, 4, 5, 1e12]]), "far outside"),
        (json.dumps([both_result(1, 1, A, 0.5), *GOOD]), "detection 2"),
        (json.dumps(GOOD)[:-30], "ends in the middle"),
        (json.dumps(GOOD)[:-60] + "]", "results.json"),
        ("{}", "results are a JSON list"),
        ('"text"', "no JSON list"),
        ("", "the file is empty"),
        ("[1, 2]", "results.json"),
        ("[{}]", "neither bbox nor segmentation"),
        (json.dumps([*GOOD, *GOOD])[:-1] + ",]", "results.json"),
        (json.dumps(GOOD).replace("0.5", "00.5"), "results.json"),
    ],
)
def test_bad_results(tmp_path: Path, text: str, words: str) -> None:
    message = complain(tmp_path, text)
    assert words in message and "results.json" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_id": 9}, "annotation 1: image_id 9 is not in the file"),
        ({"category_id": 9}, "annotation 1: category_id 9 is not in the file"),
        ({"segmentation": [[1, 1, 2, 2]]}, "annotation 1 (image 1): a polygon"),
        ({"segmentation": {"size": [4, 4], "counts": [16]}}, "annotation 1 (image 1): its RLE"),
        ({"segmentation": None}, "annotation 1 (image 1): a polygon"),
        ({"bbox": [1, 2, 3, float("inf")]}, "annotation 1: Infinity is not a number"),
        ({"images": [image(10**20)]}, f"image {10**20}: id {10**20} is beyond 64 bits"),
        ({"bbox": [1, 2, 3]}, "bbox has 3 numbers"),
        (
            {"images": [image(1), image(1)]},
            "duplicate image id 1; give each image an id of its own",
        ),
        ({"images": 3}, "images: Expected 'array'"),
    ],
)
def test_bad_gt(tmp_path: Path, changes: dict, words: str) -> None:
    message = complain(tmp_path, json.dumps(GOOD), gt_file(tmp_path, **changes))
    assert words in message and "gt.json" in message


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_truncated_gt(tmp_path: Path, keep: float) -> None:
    gt = gt_file(tmp_path)
    text = gt.read_text()
    gt.write_text(text[: int(len(text) * keep)])
    assert "broken or cut off" in complain(tmp_path, json.dumps(GOOD), gt)


def test_unknown_categories_and_images_are_counted(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    strange = [mask_result(1, 55, A, 0.9), mask_result(66, 1, A, 0.9)]
    results.write_text(json.dumps([*GOOD, *strange]))
    settings = EvaluateSettings(unknown_images="drop", boundary=False, fixed=False)
    gt = gt_file(tmp_path)
    for found in (
        evaluate(gt, Results(results), settings),
        evaluate_plainly(gt, results, None, settings),
    ):
        assert found.metrics["segm"]["AP"] == pytest.approx(1.0)
        assert found.warnings == (
            "results.json: 1 detections whose category is not in the ground truth",
            "results.json: 1 detections in images that are not in the ground truth",
        )


RUNS = [82] + [10, 30] * 9 + [10, 1148]
ODD = '[{"\\u0069mage_id":1.0,"extra":[{"image_id":3},{"image_id":"}, {"}], "category_id":1,'
ODD += '"score":5.0e-1 ,"segmentation":[[2,2,12,2,12,12.0,2,12]]}\n ]\n'


@pytest.mark.parametrize(
    "text",
    [
        ODD,
        json.dumps([dict(reversed(GOOD[0].items()))], indent=3),
        "\ufeff" + json.dumps(GOOD, separators=(",", ":")),
        json.dumps(
            [
                {
                    **GOOD[0],
                    "segmentation": {"counts": [82] + [10, 30] * 9 + [10, 1148], "size": [40, 40]},
                }
            ]
        ),
    ],
    ids=["odd", "indented", "compact", "plain-runs"],
)
def test_unusual_json_is_read(tmp_path: Path, text: str) -> None:
    results = tmp_path / "results.json"
    results.write_text(text)
    found = evaluate(gt_file(tmp_path), Results(results), FAST)
    assert found.metrics["segm"]["AP"] == pytest.approx(1.0)


def test_cache_is_used_and_noticed_when_stale(tmp_path: Path) -> None:
    gt, results = gt_file(tmp_path), tmp_path / "results.json"
    results.write_text(json.dumps(GOOD))
    assert evaluate(gt, Results(results), FAST).metrics["segm"]["AP"] == pytest.approx(1.0)
    cache = tmp_path / ".gt.json.lvistk-truth"
    assert cache.is_file()
    cache.write_bytes(b"no archive")
    assert evaluate(gt, Results(results), FAST).metrics["segm"]["AP"] == pytest.approx(1.0)
    gt_file(tmp_path, segmentation=[[30, 30, 39, 30, 39, 39]])
    assert evaluate(gt, Results(results), FAST).metrics["segm"]["AP"] == 0


def test_masks_and_boxes_in_two_files(tmp_path: Path) -> None:
    masks, boxes = tmp_path / "segm.json", tmp_path / "bbox.json"
    masks.write_text(json.dumps(GOOD))
    boxes.write_text(json.dumps([box_result(1, 1, (20, 20, 5, 5), 0.5)]))
    gt = gt_file(tmp_path)
    found = evaluate(gt, Results(masks, boxes), FAST).metrics
    assert found["segm"]["AP"] == pytest.approx(1.0) and found["bbox"]["AP"] == 0
    assert found["box_mask_gap"]["AP"] == pytest.approx(-1.0)
    assert evaluate_plainly(gt, masks, boxes, FAST).metrics == found
    with pytest.raises(UserError, match="has no masks"):
        evaluate(gt, Results(boxes, masks), FAST)
    with pytest.raises(UserError, match="has no masks"):
        evaluate_plainly(gt, boxes, masks, FAST)
