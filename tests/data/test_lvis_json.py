"""Reading refuses what is no annotation file in one clear line; writing gives back what was read."""

import json
from pathlib import Path

import pytest

from lvistk.data.index.lvis_json import (
    AnnotationFile,
    Broken,
    ImageRecord,
    read_categories,
    read_results,
)
from lvistk.data.index.lvis_write import write_annotations, write_results
from lvistk.errors import UserError
from lvistk.json_input.image_names import NamedImages
from tests.data.lvis_files import annotation, category, image, write
from tests.shared_data import REALDATA, needs_realdata

NO_IMAGES = NamedImages([], path=Path("gt.json"))


def test_records(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(3, 1, 2), {"id": 7}, 5])
    file = AnnotationFile(path)
    (record,) = file.images()
    assert isinstance(record, ImageRecord)
    assert record.name == "train2017/000000000001.jpg"
    good, broken, number = file.annotations()
    assert not isinstance(good, Broken) and good.bbox == (10, 10, 10, 10)
    assert isinstance(broken, Broken) and (broken.position, broken.id) == (1, 7)
    assert "missing required field" in broken.reason
    assert isinstance(number, Broken) and number.id is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [], "categories": [', r"stops in the middle, at byte 30"),
        ('{"images": [],\n "categories": [],\n x}', r"byte 35 \(line 3\)"),
        ('{"images": [NaN], "categories": []}', r"NaN is not a number"),
        ("", "empty"),
        ("[]", "not an LVIS annotation file: Expected 'object'"),
        ('{"categories": []}', "no 'images'"),
        ('{"images": []}', "no 'categories'"),
        ('{"images": {}, "categories": []}', "'images': Expected 'array'"),
        ("[" * 100_000, "not"),
    ],
)
def test_a_broken_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        list(AnnotationFile(path).images())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json: no such file"):
        AnnotationFile(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot be read"):
        AnnotationFile(tmp_path)


def test_categories(tmp_path: Path) -> None:
    path = tmp_path / "categories.json"
    path.write_text(json.dumps([{**category(4, "b", "r"), "image_count": 3}, category(1, "a")]))
    found = read_categories(path)
    assert found.ids.tolist() == [1, 4]
    assert found.image_count.tolist() == [0, 3]
    path.write_text(json.dumps([category(4, "b"), category(4, "a")]))
    with pytest.raises(UserError, match="category id 4 is used twice"):
        read_categories(path)
    path.write_text(json.dumps([category(4, "b", "x")]))
    with pytest.raises(UserError, match="category 4: frequency 'x'"):
        read_categories(path)


@needs_realdata
def test_the_categories_of_lvis() -> None:
    found = read_categories(REALDATA / "annotations" / "lvis_v1_train_cat_info.json")
    assert [len(found.group(letter)) for letter in "rcf"] == [337, 461, 405]
    assert found.instance_count.sum() == 1_270_141


def test_streams(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_annotations(
        path,
        images=(image(n) for n in range(2)),
        annotations=(annotation(n, 1, 2) for n in range(3)),
        categories=[category(2, "cat")],
        info="made by a test",
    )
    found = json.loads(path.read_text())
    assert found["images"] == [image(0), image(1)]
    assert found["annotations"][2] == annotation(2, 1, 2)
    assert found["info"]["description"] == "made by a test"
    results = [
        {"image_id": 1, "category_id": 2, "score": 0.5, "bbox": [1.0, 2.0, 3.0, 4.0]},
        {
            "image_id": 1,
            "category_id": 2,
            "score": 0.25,
            "segmentation": {"size": [4, 5], "counts": "P4"},
        },
    ]
    write_results(path, iter(results))
    assert json.loads(path.read_text()) == results
    first, second = read_results(path, images=NO_IMAGES)
    assert first.bbox == (1, 2, 3, 4) and not first.segmentation
    assert json.loads(bytes(second.segmentation)) == {"size": [4, 5], "counts": "P4"}
    write_results(path, [])
    assert list(read_results(path, images=NO_IMAGES)) == []
    path.write_text('[{"image_id": 1}]')
    with pytest.raises(UserError, match=r"result 0: .*category_id"):
        list(read_results(path, images=NO_IMAGES))


@pytest.mark.parametrize("side", ["height", "width"])
def test_an_image_without_size_is_told(side: str, tmp_path: Path) -> None:
    for fields in ({side: None}, {}):
        record = {name: value for name, value in image(4).items() if name != side} | fields
        (broken,) = AnnotationFile(write(tmp_path / "a.json", [record], [])).images()
        assert isinstance(broken, Broken) and broken.id == 4
        assert broken.reason == f"it has no {side}; write the image's height and width in pixels"


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "message"),
    [
        ([image(7) | {"id": "07"}], [], None, "id '07' is text; give whole numbers"),
        ([image(7)], [annotation(1, "07", 2)], None, "image_id '07' is text; give whole numbers"),
        (
            [image(7)],
            [],
            [category(5, "cup") | {"id": "cup"}],
            "number 0 of the list: id 'cup' is text",
        ),
    ],
)
def test_ids_that_are_text_are_one_line(
    images: list, annotations: list, categories: list | None, message: str, tmp_path: Path
) -> None:
    file = AnnotationFile(write(tmp_path / "a.json", images, annotations, categories))
    broken = [r for r in (*file.images(), *file.annotations()) if isinstance(r, Broken)]
    if categories is None:
        (record,) = broken
        assert record.id in (None, 1) and message in record.reason
    else:
        with pytest.raises(UserError, match=message):
            file.categories()


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def failing():
        yield image(1)
        raise UserError("stop")

    with pytest.raises(UserError, match="stop"):
        write_annotations(path, images=failing(), annotations=[], categories=[])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
