"""What is found in folders of data as people have them."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

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


def test_labelme_sheets(tmp_path: Path) -> None:
    image(tmp_path / "sheets/a.jpg")
    (tmp_path / "sheets/a.json").write_text('{"shapes": [], "imagePath": "a.jpg"}')
    assert survey(tmp_path).train == (tmp_path / "sheets",)


def test_runs_and_hidden_folders_are_no_data(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    annotations(tmp_path / "mine.json", ["a.jpg"])
    shutil.copytree(tmp_path / "images", tmp_path / "runs/x")
    manifest = '{"command": "COMMAND", "state": "done"}'
    (tmp_path / "runs/x/stage.json").write_text(manifest.replace("COMMAND", "evaluate"))
    annotations(tmp_path / "runs/x/other.json", ["a.jpg"])
    annotations(tmp_path / ".cache/other.json", ["a.jpg"])
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
