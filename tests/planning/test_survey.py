"""What is found in folders of data as people have them."""

import gzip
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.data.synthetic import GenerateSettings, generate
from lvistk.errors import UserError
from lvistk.planning.listing import Pool
from lvistk.planning.survey import survey


def image(path: Path, *, size: tuple[int, int] = (30, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 128, np.uint8))


def annotations(path: Path, names: list[str], *, lvis: bool = False, first: int = 1) -> None:
    """A COCO or LVIS file of one triangle per image."""
    images = [
        {"id": first + k, "width": 40, "height": 30, "file_name": name}
        | ({"neg_category_ids": [], "not_exhaustive_category_ids": []} if lvis else {})
        for k, name in enumerate(names)
    ]
    instances = [
        {"id": k + 1, "image_id": one["id"], "category_id": 1, "bbox": [1, 1, 20, 20], "area": 200}
        | {"segmentation": [[1, 1, 21, 1, 21, 21]], "iscrowd": 0}
        for k, one in enumerate(images)
    ]
    category = {"id": 1, "name": "cup"} | ({"frequency": "f"} if lvis else {})
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": instances, "categories": [category]}
    path.write_text(json.dumps(content))


def test_a_coco_folder_as_it_is_downloaded(tmp_path: Path) -> None:
    for name in ("train2017/a.jpg", "val2017/b.jpg"):
        image(tmp_path / name)
    annotations(tmp_path / "annotations/instances_train2017.json", ["a.jpg"])
    annotations(tmp_path / "annotations/instances_val2017.json", ["b.jpg"], first=9)
    captions = {"images": [{"id": 1}], "annotations": [{"caption": "a cup"}]}
    (tmp_path / "annotations/captions_train2017.json").write_text(json.dumps(captions))
    found = survey(tmp_path)
    assert found.kind == "coco" and found.images == tmp_path
    assert [path.name for path in found.train] == ["instances_train2017.json"]
    assert [path.name for path in found.val] == ["instances_val2017.json"]


def test_lvis_files_without_a_val_file_and_with_a_pool(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    annotations(tmp_path / "mine.json", ["a.jpg"], lvis=True)
    for k in range(12):
        image(tmp_path / f"open/train_{k % 2}/{k:016x}.jpg")
    (tmp_path / "open/list.csv").write_text("ImageID,Rotation\n")
    (tmp_path / "results.json").write_text("[]")
    found = survey(tmp_path)
    assert (found.kind, found.val, found.images) == ("lvis", (), tmp_path / "images")
    assert found.pool == Pool(tmp_path / "open", tmp_path / "open/list.csv")


def test_annotated_images_of_open_images_are_no_pool(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    annotations(tmp_path / "train.json", ["a.jpg"])
    names = [f"{k:016x}.jpg" for k in range(12)]
    for name in names:
        image(tmp_path / "open/part_0" / name)
    annotations(tmp_path / "open_train.json", names, first=5)
    found = survey(tmp_path)
    assert {path.name for path in found.train} == {"train.json", "open_train.json"}
    assert found.pool is None
    assert any("part_0: no pool, its images are annotated" in line for line in found.told)
    (tmp_path / "open_train.json").unlink()
    assert survey(tmp_path).pool == Pool(tmp_path / "open/part_0", None)


def test_drawn_data_are_trained_on_without_what_they_hide(tmp_path: Path) -> None:
    settings = GenerateSettings(images=12, val_images=4, pool_images=12, long_side=64)
    generate(tmp_path, settings=settings)
    found = survey(tmp_path)
    assert [path.name for path in found.train] == ["train.json"]
    assert found.pool is not None and found.pool.folder.name == "openimages"
    left_out = [line for line in found.told if line.startswith("left out: ")]
    assert any("_full_truth.json: what `lvistk generate` drew" in line for line in left_out), (
        found.told
    )


def test_files_that_share_images_are_not_put_together(tmp_path: Path) -> None:
    for name in "abcd":
        image(tmp_path / f"{name}.jpg")
    annotations(tmp_path / "train_a.json", ["a.jpg", "b.jpg"])
    annotations(tmp_path / "more.json", ["b.jpg", "c.jpg"], first=5)
    annotations(tmp_path / "train_a_and_all_that_was_hidden.json", ["a.jpg", "b.jpg"])
    annotations(tmp_path / "train_c.json", ["c.jpg"], first=7)
    annotations(tmp_path / "valid.json", ["d.jpg"], first=8)
    found = survey(tmp_path)
    assert {path.name for path in found.train} == {"train_a.json", "train_c.json"}
    assert any("more.json: left out, shares 2 images" in line for line in found.told)


def test_links_to_files_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    for name in ("a.json", "b.yaml", "c.csv"):
        (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=r"no annotations.*a.json: a link to a file that is not"):
        survey(tmp_path)
    annotations(tmp_path / "mine.json", ["a.jpg"])
    found = survey(tmp_path)
    assert found.train == (tmp_path / "mine.json",)
    assert "a.json: a link to a file that is not there (2 more files)" in found.told[-1]


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    for name in "abc":
        image(tmp_path / f"{name}.jpg")
    annotations(tmp_path / "train.json.gz", ["a.jpg"])
    packed = gzip.compress((tmp_path / "train.json.gz").read_bytes())
    (tmp_path / "train.json.gz").write_bytes(packed)
    annotations(tmp_path / "test.json", ["b.jpg"])
    (tmp_path / "cut.json").write_text('{"images": [')
    empty = {"images": [{"id": 1, "width": 4, "height": 3, "file_name": "c.jpg"}]}
    (tmp_path / "val.json").write_text(json.dumps(empty | {"annotations": [], "categories": []}))
    found = survey(tmp_path)
    assert found.train == (tmp_path / "train.json.gz",) and found.val == ()
    told = "\n".join(found.told)
    assert "val.json: left out, no instances" in told
    assert "test.json: left out, a test file" in told
    assert "left out: " in told and "cut.json" in told
    (tmp_path / "train.json.gz").unlink()
    with pytest.raises(UserError, match=r"test\.json: a test file by its name"):
        survey(tmp_path)
    with pytest.raises(UserError, match=r"test\.json: is a file; give the folder"):
        survey(tmp_path / "test.json")


def test_a_file_is_for_what_its_folder_is_called(tmp_path: Path) -> None:
    for k, name in enumerate(("train", "val")):
        image(tmp_path / f"{name}/data/{name}.jpg")
        annotations(tmp_path / f"{name}/labels.json", [f"{name}.jpg"], first=k)
    found = survey(tmp_path)
    assert found.train == (tmp_path / "train/labels.json",)
    assert found.val == (tmp_path / "val/labels.json",)


@pytest.mark.parametrize(
    "files", [("train/labels.json", "val/labels.json"), ("notes/train.json", "notes/val.json")]
)
def test_images_of_train_and_val_that_are_called_alike(
    files: tuple[str, str], tmp_path: Path
) -> None:
    """Each file means the images beside it, or in the folder of its own name."""
    for k, name in enumerate(("train", "val")):
        image(tmp_path / name / "0001.jpg")
        annotations(tmp_path / files[k], ["0001.jpg"])
    found = survey(tmp_path)
    assert found.train == (tmp_path / files[0],) and found.val == (tmp_path / files[1],)
    assert found.images == tmp_path / "train" and found.val_images == tmp_path / "val"
    (tmp_path / "val/0001.jpg").unlink()
    with pytest.raises(UserError, match="shares images with the validation file, or names of them"):
        survey(tmp_path)


def test_yolo_with_and_without_a_split(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [cup]\n")
    image(tmp_path / "images/a.jpg")
    found = survey(tmp_path)
    assert (found.kind, found.train, found.val) == ("yolo", (tmp_path / "images",), ())
    image(tmp_path / "images/train/a.jpg")
    image(tmp_path / "images/val/b.jpg")
    found = survey(tmp_path)
    assert found.train == (tmp_path / "images/train",) and found.val == (tmp_path / "images/val",)
    assert found.val_images == tmp_path / "images/val"


@pytest.mark.parametrize(
    ("named", "train", "val"),
    [
        ("path: .\ntrain: a/images\nval: b/images", "a/images", "b/images"),
        ("path: /elsewhere\ntrain: [a/images]\nval: b\\images", "a/images", "b/images"),
        ("train: ../a/images\nval: ../b/images  # Roboflow", "a/images", "b/images"),
        ("train: a/images\nval: a/images\ntest: b/images", "a/images", None),
        ("train: a/images\nval:\n", "a/images", None),
        ("train: /gone/a\nval: /gone/b\n", ".", None),
    ],
)
def test_yolo_folders_that_data_yaml_names(
    named: str, train: str, val: str | None, tmp_path: Path
) -> None:
    """Its own split is kept, and images of a test folder are not trained on."""
    (tmp_path / "data.yaml").write_text(f"names: [cup]\n{named}\n")
    image(tmp_path / "a/images/1.jpg")
    image(tmp_path / "b/images/2.jpg")
    found = survey(tmp_path)
    assert found.train == (tmp_path / train,) and found.images == tmp_path / train
    assert found.val == ((tmp_path / val,) if val else ())
    assert found.val_images == (tmp_path / val if val else None)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("train: train.txt\nval: val.txt", "train: train.txt is a list of images; name a folder"),
        ("train: [images/a, images/b]\nval: x", "train: several folders"),
        ("train: images\nval: images/a", "train and val lie in each other"),
    ],
)
def test_yolo_folders_that_cannot_be_taken(named: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(f"names: [cup]\n{named}\n")
    (tmp_path / "train.txt").write_text("images/a/1.jpg\n")
    image(tmp_path / "images/a/1.jpg")
    image(tmp_path / "images/b/2.jpg")
    with pytest.raises(UserError, match=f"data.yaml: {words}"):
        survey(tmp_path)


def test_labelme_sheets(tmp_path: Path) -> None:
    image(tmp_path / "sheets/a.jpg")
    (tmp_path / "sheets/a.json").write_text('{"shapes": [], "imagePath": "a.jpg"}')
    assert survey(tmp_path).train == (tmp_path / "sheets",)


def sheet(path: Path, image_path: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"shapes": [], "imagePath": image_path}))


def test_labelme_sheets_in_several_folders(tmp_path: Path) -> None:
    """All of them are taken; folders of train and val are the split, and test is left out."""
    for name in ("a", "b"):
        image(tmp_path / f"one/{name}/1.jpg")
        sheet(tmp_path / f"one/{name}/1.json", "1.jpg")
    found = survey(tmp_path / "one")
    assert (found.train, found.val) == ((tmp_path / "one",), ())
    for name in ("train", "val", "test"):
        image(tmp_path / f"two/{name}/1.jpg")
        sheet(tmp_path / f"two/{name}/1.json", "1.jpg")
    found = survey(tmp_path / "two")
    assert found.train == (tmp_path / "two/train",) and found.val == (tmp_path / "two/val",)
    assert found.images == tmp_path / "two/train" and found.val_images == tmp_path / "two/val"


def test_labelme_sheets_apart_from_their_images(tmp_path: Path) -> None:
    image(tmp_path / "data/images/1.jpg")
    sheet(tmp_path / "data/sheets/1.json", "..\\images\\1.jpg")
    found = survey(tmp_path)
    assert found.train == (tmp_path / "data",) and found.images == tmp_path / "data"


def test_runs_and_hidden_folders_are_no_data(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    annotations(tmp_path / "mine.json", ["a.jpg"])
    shutil.copytree(tmp_path / "images", tmp_path / "runs/x")
    manifest = '{"command": "COMMAND", "state": "done"}'
    (tmp_path / "runs/x/stage.json").write_text(manifest.replace("COMMAND", "evaluate"))
    annotations(tmp_path / "runs/x/other.json", ["a.jpg"])
    annotations(tmp_path / ".cache/other.json", ["a.jpg"])
    annotations(tmp_path / "lvistk-data/train.json", ["a.jpg"])  # an earlier init's
    assert survey(tmp_path).train == (tmp_path / "mine.json",)
    (tmp_path / "mine.json").unlink()
    (tmp_path / "runs/x/stage.json").write_text(manifest.replace("COMMAND", "generate"))
    assert survey(tmp_path).train == (tmp_path / "runs/x/other.json",)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "no images in this folder"),
        (["images/a.jpg"], "no annotations"),
        (["images/a.jpg", "boxes.json"], r"no annotations.*boxes.json"),
        (["images/b.jpg", "mine.json"], "holds none of the images"),
    ],
)
def test_what_is_lacking_is_one_line(tmp_path: Path, files: list[str], words: str) -> None:
    for name in files:
        if name.endswith(".jpg"):
            image(tmp_path / name)
        elif name == "mine.json":
            annotations(tmp_path / name, ["a.jpg"])
        else:
            (tmp_path / name).write_text("[]")
    with pytest.raises(UserError, match=words):
        survey(tmp_path)


def test_images_behind_a_link_are_found(tmp_path: Path) -> None:
    image(tmp_path / "disk/a.jpg")
    annotations(tmp_path / "data/mine.json", ["a.jpg"])
    (tmp_path / "data/images").symlink_to(tmp_path / "disk")
    assert survey(tmp_path / "data").images == tmp_path / "data/images"
