"""Annotation files that are wrong: one line that names file, annotation and mend, and exit code 2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lvistk.artifacts import read_manifest
from tests.bad_input.spoil import IMAGE, cut, edit
from tests.command_line import SIX, Commands, assign, files_below, train_repr


def set_first(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda table: table["annotations"][0].update(fields)


BROKEN = {
    "missing image": (set_first(image_id=77), "annotation 1: ", "77"),
    "missing category": (set_first(category_id=55), "annotation 1: ", "55"),
    "two points": (set_first(segmentation=[[1, 1, 9, 9]]), "annotation 1", "polygon"),
    "box with a NaN": (set_first(bbox=[1, 2, float("nan"), 4]), "", ""),
    "no categories": (lambda table: table.pop("categories"), "", "categories"),
}


BROKEN_FOR = [(name, what) for name in ("train-repr", "finetune", "evaluate") for what in BROKEN]


@pytest.mark.parametrize(("name", "what"), BROKEN_FOR)
def test_broken_annotations(
    name: str, what: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    change, record, words = BROKEN[what]
    sound = (world / "train.json").read_bytes()
    edit(world / "train.json", change)
    before = files_below(world)
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert str(world / "train.json") in told and record in told and words in told
    if name == "evaluate":
        plain = assign("engine=reference")
        assert lvistk(*SIX[name](world, tmp_path / "out"), *plain).error() == told
    assert before.items() <= files_below(world).items()
    (world / "train.json").write_bytes(sound)  # mended: the same command now runs
    assert lvistk(*SIX[name](world, tmp_path / "out")).code == 0


def as_shares(table: dict[str, Any]) -> None:
    sizes = {image["id"]: (image["width"], image["height"]) for image in table["images"]}
    for one in table["annotations"]:
        width, height = sizes[one["image_id"]]
        x, y, w, h = one["bbox"]
        x, w, y, h = x / width, w / width, y / height, h / height
        one["bbox"], one["area"] = [x, y, w, h], w * h
        one["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]


def test_coordinates_that_are_shares(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    """As YOLO and some exporters write them; as pixels they are masks that nobody can see."""
    edit(world / "train.json", as_shares)
    for line in (SIX["train-repr"](world, tmp_path / "out"), ("inspect", world / "train.json")):
        told = lvistk(*line).error()
        assert f"{world / 'train.json'}: all " in told and "shares of width and height" in told


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("name", list(SIX))
def test_json_that_stops_in_the_middle(
    name: str, share: float, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    cut(world / "train.json", share)
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert str(world / "train.json") in told


@pytest.mark.parametrize("name", list(SIX))
def test_no_such_file(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    (world / "train.json").unlink()
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert told == f"{world / 'train.json'}: no such file or folder"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", list(SIX))
def test_a_folder_instead_of_the_annotation_file(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    (world / "train.json").unlink()
    (world / "train.json").mkdir()
    assert str(world / "train.json") in lvistk(*SIX[name](world, tmp_path / "out")).error()


@pytest.mark.parametrize("name", ["train-repr", "finetune"])
def test_nothing_to_train_on(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    edit(world / "train.json", lambda table: table.update(annotations=[]))
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert str(world / "train.json") in told and "annotation" in told


def test_skip_trains_on_what_is_sound_and_counts_the_rest(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    def spoil(table: dict[str, Any]) -> None:
        table["annotations"][0].update(image_id=77)
        table["annotations"][1].update(category_id=55)
        table["annotations"][2].update(segmentation=[[1, 1, 9, 9]])

    edit(world / "train.json", spoil)
    cut(world / IMAGE)
    done = lvistk(*train_repr(world, tmp_path / "out"), "--set", "loader.defects=skip")
    assert done.code == 0, done
    told = " ".join(done.err)
    for count in ("1 unknown_image", "1 unknown_category", "1 degenerate_polygon"):
        assert count in told
    assert f"skipped: {world / IMAGE}: JPEG is cut short" in told
    assert read_manifest(tmp_path / "out")["state"] == "done"
