"""Images that a user names: folders, globs, lists; ids that stay, names that lead to the files."""

from pathlib import Path

import numpy as np
import pytest

from lvistk.artifacts import describe_input, is_same_input
from lvistk.data.images.listed_images import ListedImages, image_ids
from lvistk.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a/one.jpg", "a/b/two.PNG", "a/b/three.webp", "c/four.jpg", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for hidden in ("a/.cache/five.jpg", "a/runs/six.jpg"):
        (tmp_path / hidden).parent.mkdir(parents=True)
        (tmp_path / hidden).write_bytes(b"x")
    (tmp_path / "a/runs/stage.json").write_text("{}")
    return tmp_path


def listed(*sources: Path, root: Path | None = None) -> ListedImages:
    images = ListedImages(sources, root=root)
    assert len(np.unique(images.ids)) == len(images)
    assert all(images.path(k).is_file() for k in range(len(images)))
    return images


def test_a_folder_with_all_below(root: Path) -> None:
    images = listed(root / "a")
    assert images.names == ["b/three.webp", "b/two.PNG", "one.jpg"]
    assert images.root == root / "a"


def test_globs(root: Path) -> None:
    assert listed(root / "a/**/*.jpg").names == ["one.jpg"]
    assert listed(root / "*/b").names == ["a/b/three.webp", "a/b/two.PNG"]
    (root / "c/[odd].jpg").write_bytes(b"x")
    assert listed(root / "c/[odd].jpg").names == ["[odd].jpg"]


def test_a_list_of_paths(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"\ufeffa/one.jpg\r\n\n# a remark\n{root}/c/four.jpg\n  a/b/two.PNG  \n"
    (root / "all.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(root / "c")
    assert listed(Path("../all.txt")).names == ["a/one.jpg", "c/four.jpg", "a/b/two.PNG"]


def test_several_sources_give_each_image_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    images = listed(Path("c/four.jpg"), Path("c"), root / "a/b/../one.jpg")
    assert images.names == ["c/four.jpg", "a/one.jpg"]


def test_names_below_a_given_root(root: Path) -> None:
    assert listed(root / "a/b", root=root).names == ["a/b/three.webp", "a/b/two.PNG"]
    with pytest.raises(UserError, match=r"four\.jpg: is not below"):
        ListedImages([root / "c"], root=root / "a")


def test_numbers_are_ids_of_their_own() -> None:
    assert image_ids(["val/000000000139.jpg", "val/7.png"]).tolist() == [139, 7]
    # two of one number, and a name that is none, are known by their paths
    for names in (["a/7.jpg", "b/07.jpg"], ["7.jpg", "street.jpg"]):
        ids = image_ids(names)
        assert len(set(ids.tolist())) == 2 and ids.min() >= 0 and ids.max() < 2**52


def test_an_id_does_not_depend_on_other_images() -> None:
    few, more = image_ids(["a.jpg", "c.jpg"]), image_ids(["a.jpg", "b.jpg", "c.jpg"])
    assert few.tolist() == more[[0, 2]].tolist()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.jpg", "no such image, folder or list"),
        ("empty", "no image (.bmp"),
        ("a/*.gif", "no image (.bmp"),
        ("val.json", "is JSON, no image; tta-infer"),
        ("wrong.txt", "no image gone.jpg here or in"),
        ("binary.txt", "not a list of images in UTF-8"),
    ],
)
def test_what_is_wrong_is_told(root: Path, name: str, words: str) -> None:
    (root / "empty").mkdir()
    (root / "val.json").write_text("{}")
    (root / "wrong.txt").write_text("gone.jpg\nfor good.jpg\n")
    (root / "binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UserError) as told:
        ListedImages([root / name])
    assert words in str(told.value) and name in str(told.value)


def test_a_glob_is_known_by_its_images(root: Path) -> None:
    pattern = root / "a/**/*.jpg"
    described = describe_input(pattern)
    assert described["fingerprint"].startswith("images:1:")
    assert is_same_input(pattern, described)
    (root / "a/more.jpg").write_bytes(b"y")
    assert is_same_input(pattern, described)  # images may join, as in a folder
    (root / "a/one.jpg").unlink()
    assert not is_same_input(pattern, described)


@pytest.mark.parametrize("source", ["a", "a/**", "a/**/*", "**/*.[jpw]*"])
def test_a_link_to_a_folder_above_is_entered_once(root: Path, source: str) -> None:
    without = listed(root / source).names
    (root / "a" / "b" / "loop").symlink_to(root / "a")
    assert listed(root / source).names == without


def test_a_glob_takes_each_image_once_whatever_links_lead_to_it(root: Path) -> None:
    (root / "a" / "b" / "loop").symlink_to(root / "a")
    (root / "c" / "other").symlink_to(root / "a")
    images = listed(root / "[a-c]/**/b/**/*")
    files = [images.path(k).resolve() for k in range(len(images))]
    assert len(files) == len(set(files)) == 3
