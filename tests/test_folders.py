"""Walks through folders of data."""

from pathlib import Path

import pytest

from lvistk.artifacts.fingerprints import pattern_names
from lvistk.data.convert.yolo import read_yolo
from lvistk.folders import files_below, walk
from tests.planning.test_survey import image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a link to another disk's, and one back to itself."""
    disk = tmp_path / "disk" / "train"
    disk.mkdir(parents=True)
    (disk / "1.jpg").touch()
    root = tmp_path / "data"
    (root / "b" / "hidden").mkdir(parents=True)
    (root / "b" / "2.jpg").touch()
    (root / "a").symlink_to(disk.parent)
    (disk / "back").symlink_to(root)
    return root


def test_links_are_followed_and_loops_are_not(data: Path) -> None:
    seen = [(path.relative_to(data).as_posix(), names) for path, names in walk(data)]
    assert seen == [
        (".", []),
        ("a", []),
        ("a/train", ["1.jpg"]),
        ("b", ["2.jpg"]),
        ("b/hidden", []),
    ]
    assert files_below(data, ".jpg") == [data / "a/train/1.jpg", data / "b/2.jpg"]


def test_a_folder_may_be_passed_over(data: Path) -> None:
    entered = [path.name for path, _ in walk(data, enters=lambda one: one.name != "hidden")]
    assert "hidden" not in entered


def test_labels_behind_a_link_are_converted(tmp_path: Path) -> None:
    image(tmp_path / "disk/1.jpg")
    (tmp_path / "disk/1.txt").write_text("0 .1 .1 .9 .1 .5 .9\n")
    (tmp_path / "names.txt").write_text("cup\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/linked").symlink_to(tmp_path / "disk")
    records = read_yolo(tmp_path / "mine", tmp_path / "names.txt")
    assert [one.file_name for one in records.images] == ["linked/1.jpg"]
    assert len(records.annotations) == 1


def test_a_glob_may_name_a_hidden_folder(tmp_path: Path) -> None:
    image(tmp_path / ".cache/deep/1.jpg")
    assert pattern_names(tmp_path / ".c*/**/*.jpg") == [".cache/deep/1.jpg"]
