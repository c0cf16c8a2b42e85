"""Walks through folders of data."""

from pathlib import Path

import pytest

from lvistk.folders import files_below, walk


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
