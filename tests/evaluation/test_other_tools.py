"""Files as other tools write them give the scores of the same content in LVIS's own form, or one line."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Evaluation, Results, evaluate
from tests.evaluation.worlds import FAST, annotation, both_result, box_result, image, world

A, B = (2, 2, 10, 10), (20, 5, 8, 12)
BOXES = EvaluateSettings(boundary=False, fixed=False, threads=1, kinds=("bbox",))
IMAGES = [image(4), image(9, negative=(1,))]
ANNOTATIONS = [annotation(1, 4, 1, A), annotation(2, 9, 2, B)]
RESULTS = [
    both_result(4, 1, A, 0.9),
    both_result(9, 2, (21, 6, 8, 12), 0.8),
    both_result(9, 1, A, 0.7),
]


def scores(folder: Path, gt: Any, results: Any, settings: EvaluateSettings = FAST) -> Evaluation:
    for name, content in (("gt.json", gt), ("results.json", results)):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name).write_bytes(content)
    return evaluate(folder / "gt.json", Results(folder / "results.json"), settings)


def usual(folder: Path, settings: EvaluateSettings = FAST) -> dict[str, Any]:
    found = scores(folder, world(IMAGES, ANNOTATIONS), RESULTS, settings).metrics
    assert 0.4 < found["bbox"]["AP"] < 1
    return {kind: found[kind] for kind in ("segm", "bbox") if kind in found}


def refusal(folder: Path, gt: Any, results: Any, settings: EvaluateSettings = FAST) -> str:
    with pytest.raises(UserError) as caught:
        scores(folder, gt, results, settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        gzip.compress,
        lambda text: text.decode().encode("utf-16"),
    ],
    ids=["mark", "gzip", "utf-16"],
)
def test_wrapped_files(tmp_path: Path, wrap: Any) -> None:
    files = [json.dumps(one).encode() for one in (world(IMAGES, ANNOTATIONS), RESULTS)]
    found = scores(tmp_path, *(wrap(text) for text in files)).metrics
    assert {kind: found[kind] for kind in ("segm", "bbox")} == usual(tmp_path)


def changed(records: list[dict], **changes: Any) -> list[dict]:
    return [{**records[0], **changes}, *records[1:]]


SQUARE = [2, 2, 12, 2, 12, 12, 2, 12]
POINTS = [[2, 2], [12, 2], [12, 12], [2, 12]]
RUNS = [82, *[10, 30] * 9, 10, 1148]


@pytest.mark.parametrize(
    "segmentation",
    [
        SQUARE,
        POINTS,
        [POINTS],
        [[SQUARE]],
        {"size": [40.0, 40.0], "counts": RUNS},
        {"size": [40, 40], "counts": [float(run) for run in RUNS]},
        {"size": [40, 40], "counts": "b'" + "b21Q1" + "'"},
        [[1, 2, 3, 4], SQUARE],
        [[1, 2, 3, 4, 5, 1e9], SQUARE],
    ],
    ids=["flat", "points", "points in a list", "deep", "sizes", "runs", "bytes", "part", "far"],
)
def test_masks_in_other_forms(tmp_path: Path, segmentation: Any) -> None:
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        counts = RESULTS[0]["segmentation"]["counts"].encode()
        segmentation = {"size": [40, 40], "counts": str(counts)}
    expected = usual(tmp_path)
    gt = world(IMAGES, changed(ANNOTATIONS, segmentation=segmentation))
    first = scores(tmp_path, gt, RESULTS)
    second = scores(
        tmp_path, world(IMAGES, ANNOTATIONS), changed(RESULTS, segmentation=segmentation)
    )
    parts = isinstance(segmentation, list) and segmentation[0] in (
        [1, 2, 3, 4],
        [1, 2, 3, 4, 5, 1e9],
    )
    for found, name in ((first, "of the ground truth"), (second, "results.json")):
        assert {kind: found.metrics[kind] for kind in expected} == expected
        assert any(name in line and "no polygons" in line for line in found.warnings) == parts


def test_values_in_other_forms(tmp_path: Path) -> None:
    expected = usual(tmp_path)
    odd = {"image_id": 4.0, "category_id": True, "ignore": None, "iscrowd": "0", "attributes": None}
    images = [{**IMAGES[0], "width": 40.0, "coco_url": None}, IMAGES[1]]
    found = scores(tmp_path, world(images, changed(ANNOTATIONS, **odd)), changed(RESULTS, **odd))
    assert {kind: found.metrics[kind] for kind in expected} == expected


@pytest.mark.parametrize("empty", [[], None, [[]]])
def test_an_empty_mask_beside_a_box_is_a_box(tmp_path: Path, empty: Any) -> None:
    boxes = [{**one, "segmentation": empty} for one in RESULTS]
    found = scores(tmp_path, world(IMAGES, ANNOTATIONS), boxes)
    assert "segm" not in found.metrics
    assert found.metrics["bbox"] == usual(tmp_path)["bbox"]


def test_masks_of_no_pixel_are_misses(tmp_path: Path) -> None:
    masks = [{"size": [40, 40], "counts": counts} for counts in ("", [], "")]
    empty = [{**one, "segmentation": m} for one, m in zip(RESULTS, masks, strict=True)]
    assert scores(tmp_path, world(IMAGES, ANNOTATIONS), empty).metrics["segm"]["AP"] == 0


def test_images_named_by_file(tmp_path: Path) -> None:
    expected = usual(tmp_path)
    names = {4: "folder/one.jpg", 9: "0009.png"}
    gt = world([{**i, "file_name": names[i["id"]]} for i in IMAGES], ANNOTATIONS)
    for naming in (lambda id_: names[id_], lambda id_: Path(names[id_]).stem):
        results = [{**r, "image_id": naming(r["image_id"])} for r in RESULTS]
        found = scores(tmp_path, gt, results).metrics
        assert {kind: found[kind] for kind in expected} == expected
    numbers = [{**r, "image_id": str(r["image_id"])} for r in RESULTS]
    assert scores(tmp_path, gt, numbers).metrics["segm"] == expected["segm"]
    strange = [*RESULTS, {**RESULTS[0], "image_id": "elsewhere"}]
    line = refusal(tmp_path, gt, strange)
    assert "detection 4 (image_id 'elsewhere', category_id 1)" in line and "file name" in line
    drop = EvaluateSettings(boundary=False, fixed=False, unknown_images="drop")
    assert scores(tmp_path, gt, strange, drop).metrics["segm"] == expected["segm"]


def test_ids_one_too_low(tmp_path: Path) -> None:
    gt = world(IMAGES, ANNOTATIONS, categories=2)
    results = [{**r, "category_id": r["category_id"] - 1} for r in RESULTS]
    (line,) = [w for w in scores(tmp_path, gt, results).warnings if "too low" in w]
    assert "category ids go from 0 to 1, those of the ground truth from 1 to 2" in line
    low = [{**r, "image_id": r["image_id"] - 1} for r in RESULTS]
    assert "one too low?" in refusal(tmp_path, gt, low)


def test_category_id_0_is_an_id(tmp_path: Path) -> None:
    expected = usual(tmp_path)
    gt = json.loads(json.dumps(world(IMAGES, ANNOTATIONS)))
    results = [{**r, "category_id": r["category_id"] - 1} for r in RESULTS]
    for record in (*gt["annotations"], *gt["images"], *gt["categories"]):
        for key in ("category_id", "neg_category_ids"):
            value = record.get(key)
            if value is not None:
                record[key] = [one - 1 for one in value] if isinstance(value, list) else value - 1
    for category in gt["categories"]:
        category["id"] -= 1
    found = scores(tmp_path, gt, results)
    assert {kind: found.metrics[kind] for kind in expected} == expected and not found.warnings


def test_boxes_need_no_image_sizes(tmp_path: Path) -> None:
    expected = usual(tmp_path, BOXES)
    images = [{**IMAGES[0]}, {**IMAGES[1], "width": None}]
    del images[0]["height"]
    gt = world(images, ANNOTATIONS)
    assert scores(tmp_path, gt, RESULTS, BOXES).metrics["bbox"] == expected["bbox"]
    line = refusal(tmp_path, gt, RESULTS)
    assert 'image 4: no height; needed for masks, not for kinds=["bbox"]' in line


def test_areas_are_computed(tmp_path: Path) -> None:
    expected = usual(tmp_path)
    gt = world(IMAGES, [{k: v for k, v in a.items() if k != "area"} for a in ANNOTATIONS])
    for _ in range(2):  # the second time no cache may tell otherwise
        found = scores(tmp_path, gt, RESULTS)
        assert {kind: found.metrics[kind] for kind in expected} == expected
        assert any("2 annotations of the ground truth have no area" in w for w in found.warnings)
        boxes = [{k: v for k, v in r.items() if k != "segmentation"} for r in RESULTS]
        found = scores(tmp_path, gt, boxes)
        assert found.metrics["bbox"] == expected["bbox"]


@pytest.mark.parametrize("settings", [FAST, BOXES])
def test_boxes_are_computed(settings: EvaluateSettings, tmp_path: Path) -> None:
    expected = usual(tmp_path, settings)
    gt = world(IMAGES, [{**a, "bbox": None} for a in ANNOTATIONS[:1]] + ANNOTATIONS[1:])
    for _ in range(2):  # once without the cache, once with it
        found = scores(tmp_path, gt, RESULTS, settings)
        assert {kind: found.metrics[kind] for kind in expected} == expected
        assert any("1 annotations of the ground truth have no bbox" in w for w in found.warnings)
    neither = world(IMAGES, [{**ANNOTATIONS[0], "bbox": None, "segmentation": None}])
    assert "or no mask" in refusal(tmp_path, neither, RESULTS)


def test_plain_coco_is_told(tmp_path: Path) -> None:
    lists = ("neg_category_ids", "not_exhaustive_category_ids")
    images = [{k: v for k, v in i.items() if k not in lists} for i in IMAGES]
    found = scores(tmp_path, world(images, ANNOTATIONS), RESULTS)
    (line,) = [w for w in found.warnings if "COCO" in w]
    assert "false positives" in line and "lvistk convert" in line


@pytest.mark.parametrize(
    ("gt", "results", "words"),
    [
        ({"annotations": [ANNOTATIONS[0], ANNOTATIONS[0]]}, RESULTS, "duplicate annotation id 1;"),
        ({"images": [image(2**70)]}, RESULTS, f"image {2**70}: id {2**70} is beyond 64 bits"),
        ({"images": [image(10**400)]}, RESULTS, f"image 1{'0' * 36}...: id 1{'0' * 36}... is beyond 64 bits"),
        ({"images": [{**image(4), "id": "four"}]}, RESULTS, "image 'four': its id is text"),
        ({"images": None}, RESULTS, "no list of images"),
        ({"categories": [{"id": 1, "name": 7}]}, RESULTS, "category 1: name 7 is no text"),
        ({"annotations": changed(ANNOTATIONS, image_id="a")}, RESULTS, "annotation 1: image_id 'a' is text"),
        ({"annotations": changed(ANNOTATIONS, area=float("nan"))}, RESULTS, "annotation 1: NaN is not"),
        ({"annotations": changed(ANNOTATIONS, segmentation="x")}, RESULTS, "annotation 1: segmentation"),
        ({"images": [{**IMAGES[0], "height": 0}, IMAGES[1]]}, RESULTS, "image 4: height must be at least 1"),
        ({}, changed(RESULTS, image_id=2**64), f"image_id {2**64} is beyond 64 bits"),
        ({}, changed(RESULTS, category_id="dog"), "category_id 'dog' is text"),
        ({}, changed(RESULTS, score=float("nan")), "its score is not a finite number"),
        ({"images": [{**IMAGES[0], "height": 2**16, "width": 2**16}, IMAGES[1]]}, RESULTS, "image 4: 65536"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, gt: dict, results: list, words: str) -> None:
    line = refusal(tmp_path, {**world(IMAGES, ANNOTATIONS), **gt}, results)
    assert words in line and ".json: " in line


def test_json_nested_deeply_is_one_line(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    gt = json.dumps(world(IMAGES, ANNOTATIONS)).encode()
    assert "nested too deeply" in refusal(tmp_path, b'{"images": ' + deep + b"}", RESULTS)
    assert "nested too deeply" in refusal(tmp_path, gt, b"[" + deep + b"]")
    inside = json.dumps(RESULTS)[:-2].encode() + b', "segmentation": ' + deep + b"}]"
    assert "nested too deeply" in refusal(tmp_path, gt, inside)


def test_box_results_of_the_usual_form_stay_boxes(tmp_path: Path) -> None:
    boxes = [
        box_result(r["image_id"], r["category_id"], tuple(r["bbox"]), r["score"]) for r in RESULTS
    ]
    found = scores(tmp_path, world(IMAGES, ANNOTATIONS), boxes)
    np.testing.assert_equal(found.metrics["bbox"], usual(tmp_path)["bbox"])
