"""A store exported and read back is the same; what cannot be exported says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from lvistk.data.index.lvis_json import read_categories
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.stages.commands import export
from lvistk.stages.commands.export import ExportOptions
from lvistk.structures.detections import Detections
from tests.data.lvis_files import annotation, image, write
from tests.shared_data import REALDATA, needs_realdata


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    return write(tmp_path / "gt.json", [image(1), image(2), image(3)], [annotation(1, 1, 2)])


def make_store(path: Path, gt: Path, *, masks: bool = True, names: list | None = None) -> Path:
    draw = np.random.default_rng(0)
    images = []
    for number, count in ((1, 3), (2, 0), (3, 2)):
        bitmaps = np.zeros((count, 60, 80))
        bitmaps[:, 10:30, 20:50] = 1
        corners = draw.integers(0, 20, (count, 2)).astype(np.float32)
        images.append(
            Detections(
                image_id=number,
                size=(60, 80),
                boxes=np.concatenate([corners, corners + 30], axis=1),
                scores=np.sort(draw.random(count, np.float32))[::-1],
                labels=draw.integers(0, 3, count).astype(np.int32),
                masks=[rle.encode(bitmap) for bitmap in bitmaps] if masks else None,
            )
        )
    writer = DetectionWriter(path, categories=read_categories(gt), role="detections")
    writer.write_shard(0, images, names=names)
    return path


def same(a: DetectionStore, b: DetectionStore, *, boxes: bool = True) -> None:
    assert a.image_ids.tolist() == b.image_ids.tolist()
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left.labels, right.labels)
        np.testing.assert_array_equal(left.scores, right.scores)
        assert (left.masks or []) == (right.masks or []) or not boxes
        if boxes:
            np.testing.assert_array_equal(left.boxes, right.boxes)


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_results_there_and_back(kind: export.Kind, tmp_path: Path, gt: Path) -> None:
    store = make_store(tmp_path / "a.h5", gt, masks=kind == "segm")
    export.run(store, tmp_path / "results.json", kind=kind)
    found = json.loads((tmp_path / "results.json").read_text())
    assert len(found) == 5
    assert all(("bbox" in r) == (kind == "bbox") for r in found)
    back = tmp_path / "back.h5"
    export.run(tmp_path / "results.json", back, kind="store", options=ExportOptions(annotations=gt))
    same(DetectionStore.open(store), DetectionStore.open(back), boxes=kind == "bbox")
    export.run(store, tmp_path / "best.json", kind=kind, options=ExportOptions(min_score=0.5))
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == [r for r in found if r["score"] >= 0.5]
    assert 0 < len(best) < len(found)


def test_annotations_there_and_back(tmp_path: Path, gt: Path) -> None:
    store = make_store(tmp_path / "a.h5", gt)
    out = tmp_path / "out.json"
    with pytest.raises(UserError, match="image 1 has no name here; give --annotations"):
        export.run(store, out, kind="annotations")
    assert not out.exists()
    export.run(store, out, kind="annotations", options=ExportOptions(annotations=gt))
    found = json.loads(out.read_text())
    assert [r["coco_url"] for r in found["images"]] == [
        r["coco_url"] for r in json.loads(gt.read_text())["images"]
    ]
    assert [r["name"] for r in found["categories"]] == ["cat", "cup", "zebra"]
    assert {r["area"] for r in found["annotations"]} == {600}
    named = make_store(tmp_path / "b.h5", gt, names=["a.jpg", "b.jpg", "c.jpg"])
    export.run(named, out, kind="annotations")
    found = json.loads(out.read_text())
    assert [r["file_name"] for r in found["images"]] == ["a.jpg", "b.jpg", "c.jpg"]
    assert found["categories"][0]["name"] == "category 2"


def test_boxes_become_rectangles(tmp_path: Path, gt: Path) -> None:
    store = make_store(tmp_path / "a.h5", gt, masks=False)
    export.run(
        store, tmp_path / "out.json", kind="annotations", options=ExportOptions(annotations=gt)
    )
    for record in json.loads((tmp_path / "out.json").read_text())["annotations"]:
        x, y, w, h = record["bbox"]
        assert record["segmentation"] == [[x, y, x + w, y, x + w, y + h, x, y + h]]
        assert record["area"] == w * h


@needs_realdata
def test_real_annotations_as_a_store_and_back(tmp_path: Path) -> None:
    path = REALDATA / "annotations" / "lvis_v1_real_train.json"
    export.run(path, tmp_path / "store", kind="store")
    store = DetectionStore.open(tmp_path / "store")
    assert (len(store), sum(len(image) for image in store)) == (112, 1154)
    assert store.name(0) == "val2017/000000004395.jpg"
    export.run(tmp_path / "store", tmp_path / "back.json", kind="annotations")
    gt = json.loads(path.read_text())
    back = json.loads((tmp_path / "back.json").read_text())
    by_image = sorted(gt["annotations"], key=lambda a: a["image_id"])
    assert [a["category_id"] for a in sorted(back["annotations"], key=lambda a: a["image_id"])] == [
        a["category_id"] for a in by_image
    ]


@needs_realdata
def test_real_results_as_a_store(tmp_path: Path) -> None:
    folder = REALDATA / "annotations"
    results = folder / "lvis_v1_real_rater2_results.json"
    gt = folder / "lvis_v1_real_rater1_gt.json"
    export.run(results, tmp_path / "a.h5", kind="store", options=ExportOptions(annotations=gt))
    export.run(tmp_path / "a.h5", tmp_path / "segm.json", kind="segm")
    wanted = json.loads(results.read_text())
    found = json.loads((tmp_path / "segm.json").read_text())

    def key(record: dict) -> tuple:
        return record["image_id"], record["category_id"], record["segmentation"]["counts"]

    assert sorted(map(key, found)) == sorted(map(key, wanted))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"image_id": 9, "category_id": 2, "score": 1, "bbox": [0, 0, 1, 1]}, "image 9 is not in"),
        ({"image_id": 1, "category_id": 7, "score": 1, "bbox": [0, 0, 1, 1]}, "category 7"),
        ({"image_id": 1, "category_id": 2, "score": 1}, "neither bbox nor segmentation"),
        ({"image_id": "attic", "category_id": 2, "score": 1}, "'attic' is neither .* use the ids"),
        ({"image_id": 1, "category_id": "cup", "score": 1}, "category_id 'cup' is no number"),
        ({"image_id": 1, "category_id": 2, "score": "x"}, "score 'x' is no number"),
        (
            {
                "image_id": 1,
                "category_id": 2,
                "score": 1,
                "segmentation": {"size": [4, 4], "counts": "0"},
            },
            "its RLE is 4 x 4, the image 60 x 80",
        ),
        (
            {
                "image_id": 1,
                "category_id": 2,
                "score": 1,
                "segmentation": {"size": [60, 80], "counts": "é"},
            },
            "cannot be decoded",
        ),
    ],
)
def test_results_that_do_not_fit(record: dict, message: str, tmp_path: Path, gt: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([record]))
    with pytest.raises(UserError, match=rf"results\.json: result 0.*{message}"):
        export.run(path, tmp_path / "a.h5", kind="store", options=ExportOptions(annotations=gt))


def test_wrong_ways(tmp_path: Path, gt: Path) -> None:
    store = make_store(tmp_path / "a.h5", gt)
    with pytest.raises(UserError, match="is a detection store already"):
        export.run(store, tmp_path / "b.h5", kind="store")
    with pytest.raises(UserError, match="no detection store"):
        export.run(gt, tmp_path / "b.json", kind="segm")
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(UserError, match="results need --annotations"):
        export.run(tmp_path / "results.json", tmp_path / "b.h5", kind="store")
    export.run(
        tmp_path / "results.json",
        tmp_path / "b.h5",
        kind="store",
        options=ExportOptions(annotations=gt),
    )
    assert len(DetectionStore.open(tmp_path / "b.h5")) == 3


def test_scores_of_annotations_come_back(tmp_path: Path, gt: Path) -> None:
    store = make_store(tmp_path / "a.h5", gt)
    export.run(
        store, tmp_path / "a.json", kind="annotations", options=ExportOptions(annotations=gt)
    )
    export.run(tmp_path / "a.json", tmp_path / "b.h5", kind="store")
    same(DetectionStore.open(store), DetectionStore.open(tmp_path / "b.h5"), boxes=False)
    export.run(
        tmp_path / "a.json", tmp_path / "c.h5", kind="store", options=ExportOptions(min_score=0.5)
    )
    kept = [image.scores for image in DetectionStore.open(tmp_path / "c.h5")]
    assert 0 < len(np.concatenate(kept)) < 5 and np.concatenate(kept).min() >= 0.5


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**62 + 5])
def test_ids_of_64_bits_come_back(number: int, tmp_path: Path) -> None:
    """Half of the Open Images ids are beyond 2^62, and half of all are negative as signed numbers."""
    path = write(tmp_path / "gt.json", [image(number)], [annotation(1, number, 2)])
    export.run(path, tmp_path / "a.h5", kind="store")
    store = DetectionStore.open(tmp_path / "a.h5")
    assert store.image_ids.tolist() == [number] and store.rows(number).tolist() == [0]
    export.run(
        tmp_path / "a.h5",
        tmp_path / "b.json",
        kind="annotations",
        options=ExportOptions(annotations=path),
    )
    table = json.loads((tmp_path / "b.json").read_text())
    assert [one["image_id"] for one in table["annotations"]] == [number]
    export.run(tmp_path / "b.json", tmp_path / "c.h5", kind="store")
    same(store, DetectionStore.open(tmp_path / "c.h5"), boxes=False)


def test_masks_in_every_form_that_tools_write(tmp_path: Path, gt: Path) -> None:
    polygon = [20, 10, 50, 10, 50, 30, 20, 30]
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 20:50] = 1
    column = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(column)) + 1
    runs = np.diff([0, *edges.tolist(), column.size]).tolist()
    text = {"size": [60, 80], "counts": rle.encode(mask).decode()}
    forms = [text, {"size": [60, 80], "counts": runs}, {"size": [60.0, 80.0], "counts": runs}]
    forms += [[polygon], polygon]
    for form in forms:
        row = {"image_id": 1, "category_id": 2, "score": 0.5, "segmentation": form}
        (tmp_path / "r.json").write_text(json.dumps([row]))
        export.run(
            tmp_path / "r.json",
            tmp_path / "r.h5",
            kind="store",
            options=ExportOptions(annotations=gt),
        )
        found = DetectionStore.open(tmp_path / "r.h5")[0]
        assert found.masks == [rle.encode(mask)]
        assert found.boxes.tolist() == [[20, 10, 50, 30]]
    for empty in ([], [[]], None):
        row = {"image_id": 1, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}
        (tmp_path / "r.json").write_text(json.dumps([row | {"segmentation": empty}]))
        export.run(
            tmp_path / "r.json",
            tmp_path / "r.h5",
            kind="store",
            options=ExportOptions(annotations=gt),
        )
        assert DetectionStore.open(tmp_path / "r.h5")[0].masks is None


def test_a_mask_of_no_pixel_and_boxes_beside_masks(tmp_path: Path, gt: Path) -> None:
    row = {"image_id": 1, "category_id": 2, "score": 0.5, "bbox": [20, 10, 30, 20]}
    rows = [
        row | {"score": 0.9, "segmentation": {"size": [60, 80], "counts": ""}},
        row | {"score": 0.8, "segmentation": []},
        row | {"score": 0.7, "segmentation": [[5, 5, 9, 5, 9, 9, 5, 9]]},
        row | {"image_id": 3},
    ]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    export.run(
        tmp_path / "r.json", tmp_path / "r.h5", kind="store", options=ExportOptions(annotations=gt)
    )
    first, _, third = DetectionStore.open(tmp_path / "r.h5")
    assert first.masks is not None and third.masks is not None
    assert rle.areas(first.masks, (60, 80)).tolist() == [0, 600, 16]
    assert rle.boxes(first.masks, (60, 80))[1].tolist() == [20, 10, 50, 30]
    assert rle.areas(third.masks, (60, 80)).tolist() == [600]


def test_results_name_images_by_file_and_write_ids_as_text(tmp_path: Path) -> None:
    listed = write(
        tmp_path / "listed.json",
        [image(7, file_name="left/street.png"), image(8, coco_url="http://host/b/yard.jpg")],
        [],
    )
    path = tmp_path / "results.json"
    square = [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]]
    records = [
        {"image_id": name, "category_id": "5", "score": 0.5, "segmentation": square}
        for name in ("street", "left/street.png", "yard.jpg", "8")
    ]
    path.write_text(json.dumps(records))
    export.run(path, tmp_path / "a.h5", kind="store", options=ExportOptions(annotations=listed))
    left, right = DetectionStore.open(tmp_path / "a.h5")
    assert (left.image_id, right.image_id) == (7, 8)
    assert left.boxes.tolist() == right.boxes.tolist() == [[10, 10, 20, 20]] * 2
    assert left.masks is not None and rle.areas(left.masks, (60, 80)).tolist() == [100, 100]


def test_keys_that_lvistk_does_not_know_are_kept(tmp_path: Path, gt: Path) -> None:
    table = json.loads(gt.read_text())
    table["images"][0]["attributes"] = {"camera": 3}
    table["categories"][1]["supercategory"] = "tool"
    gt.write_text(json.dumps(table))
    store = make_store(tmp_path / "a.h5", gt)
    export.run(
        store, tmp_path / "a.json", kind="annotations", options=ExportOptions(annotations=gt)
    )
    again = json.loads((tmp_path / "a.json").read_text())
    assert again["images"] == table["images"]
    assert again["categories"] == sorted(table["categories"], key=lambda one: one["id"])


def test_ids_and_further_keys_of_annotations_come_back(tmp_path: Path) -> None:
    annotations = [
        annotation(70, 1, 2) | {"attributes": {"occluded": True}, "iscrowd": 0},
        annotation(5, 1, 5) | {"score": 0.9},
        annotation(6, 3, 9) | {"track": 4},
    ]
    gt = write(tmp_path / "gt.json", [image(1), image(2), image(3)], annotations)
    export.run(gt, tmp_path / "a", kind="store")
    export.run(
        tmp_path / "a",
        tmp_path / "b.json",
        kind="annotations",
        options=ExportOptions(annotations=gt),
    )
    back = {one["id"]: one for one in json.loads((tmp_path / "b.json").read_text())["annotations"]}
    assert back.keys() == {70, 5, 6}
    assert back[70]["attributes"] == {"occluded": True} and back[70]["iscrowd"] == 0
    assert back[6]["track"] == 4 and back[5]["score"] == pytest.approx(0.9)
    assert {n: one["category_id"] for n, one in back.items()} == {70: 2, 5: 5, 6: 9}
    export.run(tmp_path / "a", tmp_path / "c.json", kind="annotations")
    plain = json.loads((tmp_path / "c.json").read_text())["annotations"]
    assert [one["id"] for one in plain] == [1, 2, 3] and "track" not in plain[2]


def test_category_ids_that_are_one_too_low_are_told_with_the_mend(tmp_path: Path, gt: Path) -> None:
    first = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [1, 2, 3, 4]}
    (tmp_path / "r.json").write_text(json.dumps([first]))
    with pytest.raises(
        UserError, match=r"whose ids begin at 2; if all are one too low, add 1 to each"
    ):
        export.run(
            tmp_path / "r.json",
            tmp_path / "a.h5",
            kind="store",
            options=ExportOptions(annotations=gt),
        )
    (tmp_path / "r.json").write_text(json.dumps([first | {"category_id": 77}]))
    with pytest.raises(UserError, match=r"category 77 is not in the annotation file; give --annot"):
        export.run(
            tmp_path / "r.json",
            tmp_path / "a.h5",
            kind="store",
            options=ExportOptions(annotations=gt),
        )
