"""Data sets of other kinds become LVIS files that the index and the official code read."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lvistk.data.convert.yolo import read_names
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.errors import UserError
from lvistk.stages import convert
from tests.data.lvis_files import annotation, category, image, write
from tests.shared_data import REALDATA, needs_realdata


def load(path: Path) -> dict[str, Any]:
    """The file, after the index and the official code have read it without a complaint."""
    from lvis import LVIS

    index = AnnotationIndex.open([path], cache=path.parent / "cache")
    data = json.loads(path.read_text())
    assert len(index.labels) == len(data["annotations"])
    official = LVIS(str(path))
    assert len(official.get_img_ids()) == len(data["images"])
    for record in data["images"]:
        assert {"neg_category_ids", "not_exhaustive_category_ids"} <= record.keys()
    return data


def scene(path: Path, height: int = 60, width: int = 80) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)


def coco(path: Path) -> Path:
    images = [{"id": n, "height": 60, "width": 80, "file_name": f"{n}.jpg"} for n in (1, 2, 3)]
    crowd = {"size": [60, 80], "counts": [100, 50, 4650]}
    annotations = [
        {**annotation(1, 1, 7), "iscrowd": 0},
        {**annotation(2, 1, 8), "iscrowd": 1, "segmentation": crowd},
        {**annotation(3, 2, 8), "iscrowd": 0},
        {**annotation(4, 2, 7, segmentation=[[1, 1, 2, 2]]), "iscrowd": 0},
    ]
    categories = [{"id": n, "name": f"c{n}", "supercategory": "x"} for n in (7, 8, 9)]
    return write(path, images, annotations, categories)


def test_coco(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "lvis.json"
    convert.run([coco(tmp_path / "coco.json")], out, kind="coco")
    data = load(out)
    assert [a["id"] for a in data["annotations"]] == [1, 3]
    lists = [(i["neg_category_ids"], i["not_exhaustive_category_ids"]) for i in data["images"]]
    assert lists == [([9], [8]), ([7, 9], []), ([7, 8, 9], [])]
    counts = [(c["image_count"], c["instance_count"], c["frequency"]) for c in data["categories"]]
    assert counts == [(1, 1, "r"), (1, 1, "r"), (0, 0, "r")]
    assert "1 degenerate_polygon" in capsys.readouterr().err


def test_coco_that_is_not_exhaustive(tmp_path: Path) -> None:
    out = tmp_path / "lvis.json"
    convert.run([coco(tmp_path / "coco.json")], out, kind="coco", exhaustive=False)
    lists = [(i["neg_category_ids"], i["not_exhaustive_category_ids"]) for i in load(out)["images"]]
    assert lists == [([], [7, 8]), ([], [8]), ([], [])]


def test_yolo(tmp_path: Path) -> None:
    images = tmp_path / "images" / "train"
    scene(images / "b.jpg")
    scene(images / "deep" / "a.jpg", height=100, width=50)
    scene(images / "c.png")
    labels = tmp_path / "labels" / "train"
    (labels / "deep").mkdir(parents=True)
    (labels / "b.txt").write_text("1 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5\n\n0 0 0 1.02 0 1 1\n")
    (labels / "deep" / "a.txt").write_text("0 0.1 0.1 0.9 0.1 0.5 0.9\n")
    names = tmp_path / "data.yaml"
    names.write_text("path: .\nnames:\n  0: cat\n  1: 'big dog'\nnc: 2\n")
    out = tmp_path / "lvis.json"
    convert.run([images], out, kind="yolo", names=names)
    data = load(out)
    assert [(i["file_name"], i["height"], i["width"]) for i in data["images"]] == [
        ("b.jpg", 60, 80),
        ("c.png", 60, 80),
        ("deep/a.jpg", 100, 50),
    ]
    first, second, third = data["annotations"]
    assert first["segmentation"] == [[20, 15, 40, 15, 40, 30, 20, 30]]
    assert (first["bbox"], first["area"], first["category_id"]) == ([20, 15, 20, 15], 300, 2)
    assert second["segmentation"] == [[0, 0, 80, 0, 80, 60]]  # clamped to the image
    assert third["image_id"] == 3 and third["segmentation"] == [[5, 10, 45, 10, 25, 90]]
    assert [c["name"] for c in data["categories"]] == ["cat", "big dog"]
    assert data["images"][1]["neg_category_ids"] == [1, 2]
    assert data["images"][2]["neg_category_ids"] == [2]


@pytest.mark.parametrize(
    "text",
    ["names: [cat, 'big dog']  # two\n", "nc: 2\nnames:\n- cat\n- big dog\nval: x\n"],
)
def test_yolo_names(text: str, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    assert read_names(path) == ["cat", "big dog"]
    plain = tmp_path / "classes.txt"
    plain.write_text("cat\nbig dog\n")
    assert read_names(plain) == ["cat", "big dog"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.1 0.2 0.2", "a box, not a polygon"),
        ("0 0.1 0.1 0.2", "no polygon"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "no polygon"),
        ("7 0.1 0.1 0.2 0.2 0.3 0.3", "class 7 has no name"),
        ("0 10 10 20 20 30 30", "shares of the image"),
        ("cat 0.1 0.1 0.2", "not numbers"),
    ],
)
def test_yolo_lines_that_do_not_fit(line: str, message: str, tmp_path: Path) -> None:
    scene(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text(f"0 0.1 0.1 0.5 0.1 0.5 0.5\n{line}\n")
    (tmp_path / "names.txt").write_text("cat\n")
    with pytest.raises(UserError, match=rf"a\.txt: line 2: .*{message}"):
        convert.run([tmp_path], tmp_path / "x.json", kind="yolo", names=tmp_path / "names.txt")


def test_labelme(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def shape(label: str, points: list, **fields: Any) -> dict[str, Any]:
        return {"label": label, "points": points, "shape_type": "polygon", **fields}

    shapes = [
        shape("dog", [[1, 1], [9, 1], [9, 9]], group_id=1),
        shape("cat", [[10, 10], [30, 20]], shape_type="rectangle", group_id=None),
        shape("dog", [[20, 1], [29, 1], [29, 9]], group_id=1),
        shape("ball", [[40, 30], [50, 30]], shape_type="circle"),
        shape("dog", [[4, 4]], shape_type="point"),
    ]
    base = {"imageHeight": 60, "imageWidth": 80, "version": "5.0", "flags": {}, "imageData": None}
    folder = tmp_path / "set" / "sub"
    folder.mkdir(parents=True)
    sheet = {**base, "imagePath": "..\\images\\a.jpg", "shapes": shapes}
    (folder / "a.json").write_text(json.dumps(sheet))
    (folder / "b.json").write_text(json.dumps({**base, "imagePath": "b.jpg", "shapes": []}))
    out = tmp_path / "lvis.json"
    convert.run([tmp_path / "set"], out, kind="labelme")
    data = load(out)
    assert [i["file_name"] for i in data["images"]] == ["images/a.jpg", "sub/b.jpg"]
    assert [c["name"] for c in data["categories"]] == ["ball", "cat", "dog"]
    dog, cat, ball = data["annotations"]
    assert dog["segmentation"] == [[1, 1, 9, 1, 9, 9], [20, 1, 29, 1, 29, 9]]
    assert cat["segmentation"] == [[10, 10, 30, 10, 30, 20, 10, 20]] and cat["area"] == 200
    assert ball["bbox"] == [30, 20, 20, 20]
    assert ball["area"] == pytest.approx(np.pi * 100, rel=0.03)  # a circle of pixels
    assert "1 of type point" in capsys.readouterr().err
    (folder / "c.json").write_text('{"shapes": 3}')
    with pytest.raises(UserError, match=r"c\.json: not a LabelMe file"):
        convert.run([tmp_path / "set"], out, kind="labelme")


def test_merge(tmp_path: Path) -> None:
    a = write(
        tmp_path / "a.json",
        [image(1, neg_category_ids=[5, 8]), image(2, neg_category_ids=[2], height=70)],
        [annotation(1, 1, 2)],
        [category(2, "cat"), category(5, "cup"), category(8, "owl")],
    )
    same = image(1)["coco_url"]
    b = write(
        tmp_path / "b.json",
        [
            image(7, coco_url=same, not_exhaustive_category_ids=[3, 4]),
            image(2, coco_url="x/new.jpg"),
        ],
        [annotation(1, 7, 3), annotation(2, 2, 2)],
        [category(2, "dog"), category(3, "cup"), category(4, "owl")],
    )
    out = tmp_path / "out.json"
    convert.run([a, b], out, kind="lvis")
    data = load(out)
    assert [(c["id"], c["name"]) for c in data["categories"]] == [
        (2, "cat"),
        (5, "cup"),
        (8, "owl"),
        (9, "dog"),
    ]
    assert [(i["id"], i["neg_category_ids"]) for i in data["images"]] == [
        (1, []),  # the second file has a cup, and perhaps owls, where the first saw none
        (2, [2]),
        (3, []),
    ]
    assert data["images"][0]["not_exhaustive_category_ids"] == [5, 8]
    found = [(r["id"], r["image_id"], r["category_id"]) for r in data["annotations"]]
    assert found == [(1, 1, 2), (2, 1, 5), (3, 3, 9)]
    other = write(tmp_path / "c.json", [image(9, coco_url=same, width=90)], [])
    with pytest.raises(UserError, match=r"c\.json: image .* is 90 x 60, elsewhere 80 x 60"):
        convert.run([a, other], out, kind="lvis")


@pytest.mark.parametrize("seed", [0, 1])
def test_split_keeps_rare_categories_on_both_sides(seed: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(seed)
    sizes = {2: 2, 3: 5, 4: 40, 5: 160, 6: 1}
    annotations = []
    for category_id, count in sizes.items():
        for image_id in draw.choice(np.arange(1, 201), count, replace=False).tolist():
            annotations.append(annotation(len(annotations) + 1, image_id, category_id))
    categories = [category(n, f"c{n}") for n in sizes]
    images = [image(n) for n in range(1, 201)]
    path = write(tmp_path / "a.json", images, annotations, categories)
    convert.run([path], tmp_path / "out", kind="lvis", val_share=0.2, seed=seed)
    train, val = (load(tmp_path / "out" / f"{side}.json") for side in ("train", "val"))
    sides = [{i["id"] for i in side["images"]} for side in (train, val)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 200
    assert len(sides[1]) == pytest.approx(40, abs=8)
    scenes = [
        {
            c: len({a["image_id"] for a in side["annotations"] if a["category_id"] == c})
            for c in sizes
        }
        for side in (train, val)
    ]
    for category_id, count in sizes.items():
        assert scenes[0][category_id] >= 1
        assert scenes[1][category_id] >= (count > 1)
    assert scenes[1][5] == pytest.approx(32, abs=8)
    counted = {c["id"]: c["image_count"] for c in val["categories"]}
    assert counted == scenes[0]  # of training, in both files
    assert train["categories"] == val["categories"]
    again = tmp_path / "again"
    convert.run([path], again, kind="lvis", val_share=0.2, seed=seed)
    for side in ("train", "val"):
        first = (tmp_path / "out" / f"{side}.json").read_bytes()
        assert (again / f"{side}.json").read_bytes() == first


@needs_realdata
def test_real_files_merged(tmp_path: Path) -> None:
    folder = REALDATA / "annotations"
    files = [folder / "lvis_v1_real_train.json", folder / "coco_as_lvis_v1_train.json"]
    convert.run(files, tmp_path / "out.json", kind="lvis", frequency="keep")
    data = load(tmp_path / "out.json")
    assert (len(data["images"]), len(data["annotations"])) == (348, 3221)
    kept = [sum(c["frequency"] == letter for c in data["categories"]) for letter in "rcf"]
    assert kept == [337, 461, 405]


def test_wrong_ways(tmp_path: Path) -> None:
    path = coco(tmp_path / "coco.json")
    with pytest.raises(UserError, match="0 to below 1"):
        convert.run([path], tmp_path / "x", kind="coco", val_share=1.5)
    with pytest.raises(UserError, match="nothing to convert"):
        convert.run([], tmp_path / "x", kind="coco")
    with pytest.raises(UserError, match="give --names"):
        convert.run([tmp_path], tmp_path / "x", kind="yolo")
    (tmp_path / "names.txt").write_text("a")
    with pytest.raises(UserError, match="no images"):
        convert.run([tmp_path], tmp_path / "x", kind="yolo", names=tmp_path / "names.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no LabelMe JSON"):
        convert.run([tmp_path / "empty"], tmp_path / "x", kind="labelme")
