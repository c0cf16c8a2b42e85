"""Data sets of other kinds become LVIS files that the index and the official code read."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lvistk.data.convert.yolo_names import read_names
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.errors import UserError
from lvistk.stages.commands import convert
from tests.data.lvis_files import SQUARE, annotation, category, image, write
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
    assert lists == [([9], [8]), ([9], [7]), ([7, 8, 9], [])]
    counts = [(c["image_count"], c["instance_count"], c["frequency"]) for c in data["categories"]]
    assert counts == [(1, 1, "r"), (1, 1, "r"), (0, 0, "r")]
    assert "1 degenerate_polygon" in capsys.readouterr().err


def test_data_that_are_split_already(tmp_path: Path) -> None:
    """Both files have the categories and frequency groups of training."""
    several = [image(n) for n in range(1, 13)]
    train = write(
        tmp_path / "a.json",
        several,
        [annotation(n, n, 1) for n in range(1, 13)],
        [category(1, "cup"), category(2, "fork")],
    )
    val = write(tmp_path / "b.json", [image(20)], [annotation(1, 20, 1)], [category(1, "cup")])
    convert.run([train], tmp_path / "out", kind="coco", val_sources=[val])
    files = [load(tmp_path / "out" / name) for name in ("train.json", "val.json")]
    assert [len(data["images"]) for data in files] == [12, 1]
    groups = [[c["frequency"] for c in data["categories"]] for data in files]
    assert groups == [["c", "r"], ["c", "r"]]
    other = write(tmp_path / "c.json", [image(20)], [annotation(1, 20, 3)], [category(3, "cup")])
    with pytest.raises(UserError, match=r"c.json: category 3 'cup' is not one of training"):
        convert.run([train], tmp_path / "no", kind="coco", val_sources=[other])
    with pytest.raises(UserError, match="--val-share and --val: give one"):
        convert.run([train], tmp_path / "no", kind="coco", val_sources=[val], val_share=0.2)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("coco", {"names": Path("n.yaml")}, "--names is not for --from coco, but for yolo"),
        (
            "labelme",
            {"crowds": "instances"},
            "--crowds is not for --from labelme, but for coco, lvis",
        ),
        (
            "yolo",
            {"frequency": "keep"},
            "--frequency keep is not for --from yolo, but for coco, lvis",
        ),
        ("coco", {"seed": 3}, "--seed chooses the images of --val-share; give that too"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    kind: convert.Kind, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        convert.run([tmp_path / "a"], tmp_path / "out", kind=kind, **options)


def test_a_source_is_never_replaced(tmp_path: Path) -> None:
    path = coco(tmp_path / "train.json")
    before = path.read_bytes()
    for out, share in ((path, 0.0), (tmp_path, 0.5)):
        with pytest.raises(UserError, match=r"train\.json is a source, and would be replaced"):
            convert.run([path], out, kind="coco", val_share=share)
    with pytest.raises(UserError, match="is a source"):
        convert.run([coco(tmp_path / "b.json")], tmp_path, kind="coco", val_sources=[path])
    assert path.read_bytes() == before and not (tmp_path / "val.json").exists()


def test_too_few_images_for_a_val_file_are_told(tmp_path: Path) -> None:
    one = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 1)], [category(1, "cup")])
    with pytest.raises(UserError, match=r"a\.json: 1 images are too few for a val\.json"):
        convert.run([one], tmp_path / "out", kind="coco", val_share=0.2)
    assert not (tmp_path / "out").exists()


def test_coco_that_is_not_exhaustive(tmp_path: Path) -> None:
    out = tmp_path / "lvis.json"
    convert.run([coco(tmp_path / "coco.json")], out, kind="coco", exhaustive=False)
    lists = [(i["neg_category_ids"], i["not_exhaustive_category_ids"]) for i in load(out)["images"]]
    assert lists == [([], [7, 8]), ([], [7, 8]), ([], [])]


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
    assert read_names(path) == {0: "cat", 1: "big dog"}
    plain = tmp_path / "classes.txt"
    plain.write_text("cat\nbig dog\n")
    assert read_names(plain) == {0: "cat", 1: "big dog"}


NAMES = {
    "numbered, out of order": ("names:\n  1: b\n  0: a\n", {0: "a", 1: "b"}),
    "sparse": ("names: {0: a, 5: b}", {0: "a", 5: "b"}),
    "commas and colons in quotes": ("names: ['a, b', \"c: d\"]", {0: "a, b", 1: "c: d"}),
    "comments": ("names:\n# animals\n- a # one\n\n- 'b#'\n", {0: "a", 1: "b#"}),
    "words of YAML": ("names: [no, null, 1.0, ~]", {0: "no", 1: "null", 2: "1.0", 3: "~"}),
    "quoted keys": ("names: {'1': b, '0': a}", {0: "a", 1: "b"}),
    "anchors": ("all: &all [a, b]\nnames: *all\n", {0: "a", 1: "b"}),
    "other letters": ("names: [猫, žába]", {0: "猫", 1: "žába"}),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("case", NAMES)
def test_yolo_names_as_yaml_means_them(case: str, encoding: str, tmp_path: Path) -> None:
    text, names = NAMES[case]
    path = tmp_path / "data.YAML"
    path.write_bytes(text.encode(encoding))
    assert read_names(path) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a", "not valid YAML"),
        ("names: {a: 0}", "'a: 0' is not a class number"),
        ("names: {0: a, '00': b}", "class 0 has two names"),
        ("names: []", "no class names"),
        ("names: 中文".encode("gbk"), "line 1: not UTF-8 text"),
        ("nc: 3", "no list 'names'"),
    ],
)
def test_yolo_names_that_do_not_fit(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read_names(path)
    with pytest.raises(UserError, match="no file of class names"):
        read_names(tmp_path)


def test_an_empty_line_of_a_text_file_is_a_class_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("a\n\nb\n\n")
    assert read_names(path) == {0: "a", 2: "b"}


def test_yolo_without_any_label_and_with_other_images(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    scene(tmp_path / "images" / "a.tif")
    (tmp_path / "images" / "b.heic").write_bytes(b"x")
    (tmp_path / "names.txt").write_text("cat")
    (tmp_path / "labels_seg").mkdir()
    (tmp_path / "labels_seg" / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    out = tmp_path / "out.json"
    with pytest.raises(
        UserError, match=r"no labels for any of 1 images.*labels/a\.txt.*labels_seg"
    ):
        convert.run([tmp_path / "images"], out, kind="yolo", names=tmp_path / "names.txt")
    assert not out.exists()
    (tmp_path / "labels_seg").rename(tmp_path / "labels")
    convert.run([tmp_path / "images"], out, kind="yolo", names=tmp_path / "names.txt")
    assert [i["file_name"] for i in load(out)["images"]] == ["a.tif"]
    assert "1 images of a format that is not read (.heic)" in capsys.readouterr().err


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
    assert "left out: 1 shapes of type point without an area" in capsys.readouterr().err
    assert data["images"][0]["not_exhaustive_category_ids"] == [3]
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
    with pytest.raises(UserError, match="--from lvis keeps those of the files"):
        convert.run([path], tmp_path / "x", kind="lvis", exhaustive=False)
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


def lists_of(data: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    return [(i["neg_category_ids"], i["not_exhaustive_category_ids"]) for i in data["images"]]


LEFT_OUT = {
    "a broken polygon": {"segmentation": [[1, 1, 5, 5]]},
    "a mask outside its image": {"segmentation": [[90, 1, 95, 1, 95, 9]]},
    "a broken RLE": {"segmentation": {"size": [60, 80], "counts": "0P"}},
    "a crowd": {"iscrowd": 1},
    "text": {"segmentation": "text"},
    "a box that is none": {"bbox": "text"},
}


@pytest.mark.parametrize("case", LEFT_OUT)
@pytest.mark.parametrize("kind", ["coco", "lvis"])
def test_left_out_is_not_absent(
    kind: Any, case: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bad = annotation(2, 1, 5, **LEFT_OUT[case])
    images = [image(1, neg_category_ids=[5, 9] if kind == "lvis" else []), image(2)]
    path = write(tmp_path / "a.json", images, [annotation(1, 1, 2), bad])
    convert.run([path], tmp_path / "out.json", kind=kind)
    data = load(tmp_path / "out.json")
    assert [a["id"] for a in data["annotations"]] == [1]
    assert lists_of(data)[0] == ([9], [5])
    told = capsys.readouterr().err
    assert f"{path}: left out: 1 " in told and "(2)" in told


def test_what_can_be_mended_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    square = SQUARE[0]
    records = [
        annotation(1, 1, 2, area=None),
        annotation(1, 1, 5),
        annotation(2, 1, 2, bbox=[10, 10, 90, 90]),
        annotation(3, 1, 2, area=1.0),
        annotation(4, 1, 2, segmentation=[square, [1, 1]]),
        annotation(5, 1, 2, segmentation=square, bbox=None),
        annotation(6, 1, 2, iscrowd=False),
    ]
    path = write(tmp_path / "a.json", [image(1)], records)
    convert.run([path], tmp_path / "out.json", kind="coco")
    data = load(tmp_path / "out.json")
    assert [a["id"] for a in data["annotations"]] == [1, 7, 2, 3, 4, 5, 6]
    for record in data["annotations"]:
        assert record["segmentation"] == SQUARE
        assert (record["bbox"], record["area"]) == ([10, 10, 10, 10], 100)
    told = capsys.readouterr().err
    for words in (
        "1 annotation ids used twice, numbered anew (1)",
        "1 box_outside, computed from the mask (2)",
        "1 area_wrong, computed from the mask (3)",
        "1 bad_part, the other parts are used (4)",
    ):
        assert f"{path}: corrected: {words}" in told


def test_areas_in_another_unit_are_all_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A wrong area of few pixels could be the area of its mask; among wrong ones it is not believed."""
    thin = [[5.0, 5.0, 25.0, 5.0, 25.0, 6.0, 5.0, 6.0]]
    small = annotation(2, 1, 5, segmentation=thin, bbox=[5, 5, 20, 1], area=0.2)
    for area, kept, told in ((1.0, 20, "2 area_wrong"), (100.0, 0.2, "")):
        path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2, area=area), small])
        out = tmp_path / f"{area}.json"
        convert.run([path], out, kind="coco")
        assert [a["area"] for a in load(out)["annotations"]] == [100, kept]
        assert told in capsys.readouterr().err


def test_crowds_can_be_instances(tmp_path: Path) -> None:
    counts = {"size": [60, 80], "counts": [610, 10, 50, 10, 4120]}
    crowd = annotation(1, 1, 2, iscrowd=1, segmentation=counts, bbox=[10, 10, 2, 10], area=20)
    path = write(tmp_path / "a.json", [image(1)], [crowd])
    out = tmp_path / "out.json"
    with pytest.raises(UserError, match=r"no annotation is left: left out: 1 crowd .*--crowds"):
        convert.run([path], out, kind="coco")
    assert not out.exists()
    convert.run([path], out, kind="coco", crowds="instances")
    assert lists_of(load(out)) == [([5, 9], [])]


def test_nothing_left_or_found_is_an_error(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with pytest.raises(UserError, match="no annotations in it"):
        convert.run([write(tmp_path / "a.json", [image(1)], [])], out, kind="coco")
    bad = annotation(1, 1, 2, segmentation=[[1, 1]])
    with pytest.raises(UserError, match=r"a\.json: no annotation is left: left out: 1 degenerate"):
        convert.run([write(tmp_path / "a.json", [image(1)], [bad])], out, kind="lvis")
    twice = [category(2, "cat"), category(2, "dog")]
    with pytest.raises(UserError, match=rf"{tmp_path}/a\.json: category id 2 is used twice"):
        convert.run([write(tmp_path / "a.json", [image(1)], [], twice)], out, kind="coco")
    captions = {"images": [image(1)], "annotations": [{"id": 1, "image_id": 1, "caption": "a"}]}
    for more in ({}, {"categories": []}):
        (tmp_path / "c.json").write_text(json.dumps({**captions, **more}))
        with pytest.raises(UserError, match="a captions file"):
            convert.run([tmp_path / "c.json"], out, kind="coco")
    assert not out.exists()


def test_a_reason_that_many_records_share_is_told_once(tmp_path: Path) -> None:
    images = [image(1)] + [image(2**100 + n) for n in range(6)]
    path = write(tmp_path / "a.json", images, [])
    with pytest.raises(UserError) as told:
        convert.run([path], tmp_path / "out.json", kind="coco")
    assert str(told.value).count("beyond 64 bits") == 1
    assert "left out: 6 images that do not fit" in str(told.value)
    assert "number 1 of the list, number 2 of the list" in str(told.value)


def test_categories_of_one_name_and_of_nearly_one_name(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    categories = [category(0, "fish"), category(1, "fish"), category(2, "Fish ")]
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 1)], categories)
    convert.run([path], tmp_path / "out.json", kind="coco")
    data = load(tmp_path / "out.json")
    assert [(c["id"], c["name"]) for c in data["categories"]] == [(1, "fish"), (2, "Fish ")]
    assert data["annotations"][0]["category_id"] == 1
    told = capsys.readouterr().err
    assert "categories of one name, made one ('fish' 0, 1)" in told
    assert "nearly the same name: 'fish' (1), 'Fish ' (2)" in told


def test_different_images_of_one_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sources = []
    for day, grey in (("day1", 10), ("day2", 200)):
        (tmp_path / day).mkdir()
        frame = np.full((60, 80, 3), grey, np.uint8)
        assert cv2.imwrite(str(tmp_path / day / "0001.png"), frame)
        record = image(1, coco_url="n/a", file_name="0001.png")
        sources.append(write(tmp_path / day / "a.json", [record], [annotation(1, 1, 2)]))
    out = tmp_path / "out.json"
    with pytest.raises(UserError, match=r"image 0001\.png is .*day2.*another image.*--prefix"):
        convert.run(sources, out, kind="coco")
    with pytest.raises(UserError, match="1 given for 2 sources"):
        convert.run(sources, out, kind="coco", prefixes=["a"])
    convert.run(sources, out, kind="coco", prefixes=["day1", "day2/"])
    names = [i["file_name"] for i in load(out)["images"]]
    assert names == ["day1/0001.png", "day2/0001.png"]
    capsys.readouterr()
    (tmp_path / "day2" / "0001.png").write_bytes((tmp_path / "day1" / "0001.png").read_bytes())
    convert.run(sources, out, kind="coco")
    assert len(load(out)["images"]) == 1
    assert "images of several sources, made one (0001.png)" in capsys.readouterr().err


@pytest.mark.parametrize(("label", "told"), [("猫", True), ("图片", False)])
def test_labels_that_may_be_in_another_encoding_are_told(
    label: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """One letter of GBK is a letter with an accent in UTF-8; Chinese in UTF-8 takes three bytes."""
    scene(tmp_path / "a.png")
    shape = {"label": label, "points": [[10, 20], [29, 39]], "shape_type": "rectangle"}
    sheet(tmp_path / "a.json", [shape])
    if told:
        text = (tmp_path / "a.json").read_text(encoding="utf-8-sig")
        (tmp_path / "a.json").write_text(text, encoding="gbk")
    convert.run([tmp_path], tmp_path / "out" / "out.json", kind="labelme")
    assert ("read as UTF-8: 'è'" in capsys.readouterr().err) is told


def test_one_image_under_two_ids_is_one(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images = [image(n, coco_url="", file_name="a.jpg") for n in (1, 2)]
    path = write(tmp_path / "a.json", images, [annotation(1, 1, 2), annotation(2, 2, 5)])
    convert.run([path], tmp_path / "out.json", kind="coco")
    data = load(tmp_path / "out.json")
    assert len(data["images"]) == 1 and {a["image_id"] for a in data["annotations"]} == {1}
    assert lists_of(data) == [([9], [])]
    assert "images listed twice, made one (a.jpg)" in capsys.readouterr().err


def sheet(path: Path, shapes: list, **fields: Any) -> None:
    base = {"imageHeight": 60, "imageWidth": 80, "imagePath": "a.png", "imageData": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**base, "shapes": shapes, **fields}, ensure_ascii=False)
    path.write_bytes(text.encode("utf-8-sig"))


def test_labelme_as_its_newer_versions_write_it(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    done, png = cv2.imencode(".png", np.eye(20, dtype=np.uint8) * 255 | 1)
    assert done
    mask = base64.b64encode(png.tobytes()).decode()
    box = [[10, 20], [29, 39]]
    turned = [[40, 10], [50, 20], [40, 30], [30, 20]]
    folder = tmp_path / "set"
    scene(folder / "a.png")
    shapes = [
        {"label": "dog", "points": box, "shape_type": "mask", "mask": mask},
        {"label": "dog", "points": turned, "shape_type": "rectangle"},
        {"label": "cat", "points": turned, "shape_type": "rotation"},
        {"label": "ox", "points": box, "shape_type": "mask", "mask": "no PNG"},
    ]
    sheet(folder / "a.json", shapes, imageHeight=None, imageWidth=None)
    sheet(folder / "a_2.json", [{"label": "ox", "points": turned, "group_id": None}])
    (folder / "classes.json").write_text('["dog"]')
    (folder / "via.json").write_text('{"regions": []}')
    out = tmp_path / "out.json"
    convert.run([folder], out, kind="labelme")
    data = load(out)
    assert [(i["file_name"], i["height"], i["width"]) for i in data["images"]] == [
        ("a.png", 60, 80)
    ]
    assert lists_of(data) == [([], [3])]
    assert data["annotations"][0]["bbox"] == [10, 20, 20, 20]
    assert [a["area"] for a in data["annotations"]] == [400, 200, 200, 200]
    told = capsys.readouterr().err
    for words in (
        "2 JSON files that are no LabelMe sheets",
        "1 shapes of type mask without an area (ox in a.json)",
        "1 sheets of an image that has another, put together",
    ):
        assert words in told
    sheet(folder / "b.json", [], imagePath="none.png", imageHeight=None)
    with pytest.raises(UserError, match=r"b\.json: no imageHeight and imageWidth, and no image"):
        convert.run([folder], out, kind="labelme")
    (folder / "b.json").write_bytes('{"shapes": [], "imagePath": "é.png"}'.encode("latin-1"))
    with pytest.raises(UserError, match=r"b\.json: .*not UTF-8"):
        convert.run([folder], out, kind="labelme")
