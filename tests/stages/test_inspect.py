"""``inspect`` counts by hand, names every defect and every faulty image, and draws."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.errors import UserError
from lvistk.stages.commands import inspect
from lvistk.structures.categories import counted_frequency
from tests.data.lvis_files import annotation, category, image, write
from tests.data.test_annotation_index import BROKEN
from tests.shared_data import REALDATA, needs_realdata


@pytest.fixture
def data(tmp_path: Path) -> Path:
    categories = [
        {**category(2, "cat"), "image_count": 50, "instance_count": 70},
        category(5, "cup", "c"),
    ]
    half = [[10, 10, 20, 10, 10, 20]]
    annotations = [
        annotation(1, 1, 2),
        annotation(2, 1, 2, segmentation=half, area=50),
        annotation(3, 2, 5, segmentation=[[10, 10, 20, 10, 10, 15]], area=25, bbox=[10, 10, 10, 5]),
    ]
    images = [image(1, neg_category_ids=[5]), image(2), image(3)]
    return write(tmp_path / "a.json", images, annotations, categories)


def image_file(root: Path, number: int, *, height: int = 60) -> Path:
    path = root / "train2017" / f"{number:012d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (height, 80, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def test_counts_by_hand(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    report = inspect.run([data], cache=tmp_path / "cache")
    assert (report.images, report.annotations) == (3, 3)
    assert report.images_without_annotations == [3]
    assert report.annotations_per_image == 1
    assert report.negative_per_image == pytest.approx(1 / 3)
    cat, cup = report.categories
    assert (cat.images, cat.instances, cat.file_images, cat.file_instances) == (1, 2, 50, 70)
    assert (cat.frequency, cat.counted_frequency) == ("f", "r")
    assert cat.area_ratio == pytest.approx(0.75)
    assert (cup.file_images, cup.area_ratio) == (None, 0.5)
    assert [(g.group, g.categories_by_file, g.categories_by_count) for g in report.groups] == [
        ("r", 0, 2),
        ("c", 1, 0),
        ("f", 1, 0),
    ]
    assert report.area_ratio_histogram == [0] * 10 + [2] + [0] * 8 + [1]
    assert report.image_faults is None and report.defects == []
    assert "no defects" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("images", "group"), [(0, ""), (1, "r"), (10, "r"), (11, "c"), (100, "c"), (101, "f")]
)
def test_groups_by_count(images: int, group: str) -> None:
    assert counted_frequency(images) == group


def test_every_defect_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = [annotation(1, 3, 2)]
    for number, (kind, (record, _)) in enumerate(BROKEN.items(), 100):
        records.append({**record, "id": 1 if kind == "id_twice" else number})
    path = write(tmp_path / "a.json", [image(3), image(4, coco_url="")], records)
    inspect.run([path], json=True, cache=tmp_path / "cache")
    report = json.loads(capsys.readouterr().out)
    assert {defect["kind"] for defect in report["defects"]} == {*BROKEN, "no_name"}
    named = {(d["section"], d["id"]) for d in report["defects"]}
    wanted = {("annotation", record["id"]) for record in records}
    assert named == {("image", 4), *wanted}
    assert (report["file_images"], report["images"]) == (2, 1)
    assert (report["file_annotations"], report["annotations"]) == (len(records), 1)
    inspect.run([path], cache=tmp_path / "cache")
    out = capsys.readouterr().out
    assert f"{len(report['defects'])} defects" in out
    assert "annotation 105" in out
    assert re.search(rf"annotations in the files +{len(records)}", out)
    assert re.search(r"annotations without a defect that is left out +1", out)


def test_a_corrected_value_and_names_that_are_nearly_the_same_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    categories = [category(1, "cat"), category(2, " Cat"), category(3, "dog")]
    records = [annotation(1, 3, 1, area=1.0), annotation(2, 3, 2)]
    path = write(tmp_path / "a.json", [image(3)], records, categories)
    report = inspect.run([path], cache=tmp_path / "cache")
    assert (report.annotations, report.defect_counts) == (2, {"area_wrong": 1})
    assert report.similar_names == ["'cat' (1), ' Cat' (2)"]
    assert [c.file_annotations for c in report.categories] == [1, 1, 0]
    out = capsys.readouterr().out
    assert "computed from the mask" in out and "'cat' (1), ' Cat' (2)" in out


def test_two_records_of_one_image_file_and_whole_images_with_more_behind(
    data: Path, tmp_path: Path
) -> None:
    root = tmp_path / "images"
    for number in (1, 2, 3):
        image_file(root, number)
    whole = root / "train2017" / f"{2:012d}.jpg"
    whole.write_bytes(whole.read_bytes() + b"ftypmp42" * 20_000)
    for decode in (False, True):
        report = inspect.run([data], root, decode=decode, cache=tmp_path / "cache")
        assert report.image_faults == []
    name = f"{1:012d}.jpg"
    images = [image(1), image(2, coco_url="", file_name=f"train2017/{name.upper()}")]
    twice = write(tmp_path / "b.json", images, [])
    report = inspect.run([twice], root, cache=tmp_path / "cache")
    faults = report.image_faults or []
    assert [(f.image_id, f.kind) for f in faults] == [(2, "twice")]
    assert "image 1" in faults[0].text


def test_faulty_images(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "images"
    image_file(root, 1)
    cut = image_file(root, 2)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    report = inspect.run([data], root, cache=tmp_path / "cache")
    assert [(f.image_id, f.kind) for f in report.image_faults or []] == [
        (2, "truncated"),
        (3, "missing"),
    ]
    image_file(root, 2, height=59)
    image_file(root, 3).write_bytes(b"no image")
    fast = inspect.run([data], root, cache=tmp_path / "cache")
    assert fast.image_faults == []
    full = inspect.run([data], root, decode=True, cache=tmp_path / "cache")
    assert [(f.image_id, f.kind) for f in full.image_faults or []] == [(2, "broken"), (3, "broken")]
    with pytest.raises(UserError, match="no such folder of images"):
        inspect.run([data], tmp_path / "none", cache=tmp_path / "cache")


@needs_realdata
def test_real_files_with_pictures(tmp_path: Path) -> None:
    files = [
        REALDATA / "annotations" / f"{name}.json"
        for name in ("lvis_v1_real_train", "coco_as_lvis_v1_train")
    ]
    out = tmp_path / "out"
    report = inspect.run(files, REALDATA / "images", out=out, cache=tmp_path / "cache")
    assert (report.images, report.annotations, report.image_faults) == (348, 3221, [])
    assert report.defects == []
    groups = {g.group: g.categories_by_file for g in report.groups}
    assert {letter: groups[letter] for letter in "rcf"} == {"r": 337, "c": 461, "f": 405}
    assert json.loads((out / "inspect.json").read_text())["annotations"] == 3221
    for name in ("long_tail.png", "area_ratios.png", "contact_sheet.jpg"):
        picture = cv2.imread(str(out / name))
        assert picture is not None and min(picture.shape[:2]) > 200
        assert picture.std() > 20  # something is drawn


def test_an_empty_file_with_pictures(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [])
    report = inspect.run([path], tmp_path, out=tmp_path / "out", cache=tmp_path / "cache")
    assert report.area_ratio_mean is None
    assert not (tmp_path / "out" / "contact_sheet.jpg").exists()
    assert (tmp_path / "out" / "long_tail.png").exists()


def test_records_without_an_id_are_named_by_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.json", [image(1), image(2**100)], [])
    inspect.run([path], cache=tmp_path / "cache")
    out = capsys.readouterr().out
    assert "None" not in out and "number 1 of the list" in out
