"""Which file an image is: other spellings are found, other folders' images and secrets never."""

import unicodedata
from pathlib import Path

import pytest

from lvistk.data.images.image_files import display_name, name_parts
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.errors import UserError
from tests.data.lvis_files import image, write


def index_of(tmp_path: Path, *names: str, **fields: str) -> AnnotationIndex:
    images = [
        image(n, **{"coco_url": "", "file_name": name, **fields}) for n, name in enumerate(names, 1)
    ]
    return AnnotationIndex.open([write(tmp_path / "a.json", images, [])], cache=tmp_path / "cache")


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


CAFE = "caf\u00e9.jpg"
FOUND = {
    "as it is": ("sub/p.jpg", "sub/p.jpg"),
    "backslashes": ("sub\\p.jpg", "sub/p.jpg"),
    "backslashes and folders of another machine": ("images\\1\\p.jpg", "p.jpg"),
    "a drive": ("C:\\data\\p.jpg", "p.jpg"),
    "an absolute path": ("/home/somebody/data/p.jpg", "p.jpg"),
    "an address": ("https://host.example/a/b/p.jpg?size=1#top", "p.jpg"),
    "a file address": ("file:///home/somebody/p.jpg", "p.jpg"),
    "percent signs": ("my%20file%2B.jpg", "my file+.jpg"),
    "percent signs meant": ("100%25.jpg", "100%25.jpg"),
    "upwards": ("../../data/p.jpg", "p.jpg"),
    "upper-case suffix": ("p.JPG", "p.jpg"),
    "other case": ("Sub/P.jpg", "sub/p.JPG"),
    "composed": (CAFE, unicodedata.normalize("NFD", CAFE)),
    "decomposed": (unicodedata.normalize("NFD", CAFE), CAFE),
    "in a folder below": ("p.jpg", "deep/down/p.jpg"),
    "of 2014": ("COCO_val2014_000000000009.jpg", "val2014/000000000009.jpg"),
    "the root's own folder": ("images/p.jpg", "p.jpg"),
}


@pytest.mark.parametrize("case", FOUND)
def test_other_spellings_are_found(case: str, tmp_path: Path) -> None:
    name, file = FOUND[case]
    path = touch(tmp_path / "images" / file)
    assert index_of(tmp_path, name).image_path(0, tmp_path / "images") == path


def test_address_and_file_name_are_both_tried(tmp_path: Path) -> None:
    root = tmp_path / "images"
    index = index_of(tmp_path, "1.jpg", coco_url="http://host.example/val/1.jpg")
    path = touch(root / "val/1.jpg")
    touch(root / "train/1.jpg")
    assert index.image_path(0, root) == path
    first = touch(root / "1.jpg")
    assert index_of(tmp_path, "1.jpg").image_path(0, root) == first


@pytest.mark.parametrize("name", ["../secret.jpg", "a/../../secret.jpg", "%2e%2e/secret.jpg"])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    secret = touch(tmp_path / "secret.jpg")
    for wanted in (name, str(secret)):
        with pytest.raises(UserError, match=r"no .*secret\.jpg below"):
            index_of(tmp_path, wanted).image_path(0, tmp_path / "images")


def test_links_that_lie_in_the_folder_are_followed(tmp_path: Path) -> None:
    """To files and folders, within the folder and out of it, at any depth, and back up."""
    root = tmp_path / "images"
    touch(root / "p.jpg")
    (root / "q.jpg").symlink_to(root / "p.jpg")
    touch(tmp_path / "elsewhere/r.jpg")
    (root / "deep").mkdir()
    (root / "deep" / "train").symlink_to(tmp_path / "elsewhere")
    (root / "deep" / "train" / "back").symlink_to(root)
    (root / "farm.jpg").symlink_to(touch(tmp_path / "cache/ab/cdef"))
    index = index_of(tmp_path, "q.jpg", "deep/train/r.jpg", "R.jpg", "FARM.jpg")
    assert index.image_path(0, root) == root / "q.jpg"
    assert index.image_path(1, root) == root / "deep/train/r.jpg"
    assert index.image_path(3, root) == root / "farm.jpg"
    alone = index_of(tmp_path, "other/R.JPG")
    assert alone.image_path(0, root) == root / "deep/train/r.jpg"


def test_a_link_whose_file_was_not_fetched_is_named(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    (root / "a.jpg").symlink_to(tmp_path / ".annex/1234")
    with pytest.raises(UserError, match=r"a\.jpg is a link to a file that is not there; fetch it"):
        index_of(tmp_path, "a.jpg").image_path(0, root)


def test_another_folders_image_of_the_same_name_is_not_taken(tmp_path: Path) -> None:
    data = tmp_path / "data"
    touch(data / "day1/0001.jpg")
    index = index_of(tmp_path, "day1/0001.jpg", "day2/0001.jpg")
    assert index.image_path(0, data / "day1") == data / "day1/0001.jpg"
    with pytest.raises(UserError, match=r"image day2/0001.jpg of image 2 .* no day2/0001.jpg"):
        index.image_path(1, data / "day1")
    (data / "day2").mkdir()
    alone = index_of(tmp_path, "day2/0001.jpg")
    with pytest.raises(UserError, match=r"no day2/0001\.jpg"):
        alone.image_path(0, data / "day1")


def test_a_name_of_two_files_is_told(tmp_path: Path) -> None:
    root = tmp_path / "images"
    touch(root / "a/p.jpg")
    touch(root / "b/p.jpg")
    with pytest.raises(UserError, match=r"p.jpg may be any of a/p.jpg, b/p.jpg"):
        index_of(tmp_path, "p.jpg").image_path(0, root)


def test_names() -> None:
    url = "http://images.cocodataset.org/train2017/000000000001.jpg"
    assert display_name("1.jpg", url) == "train2017/000000000001.jpg"
    assert display_name("1.jpg", "n/a") == "1.jpg"
    assert display_name("1.jpg", "http://host.example/") == "1.jpg"
    assert display_name("", "") == ""
    assert name_parts("a/../b//./c.jpg") == ("b", "c.jpg")
    assert name_parts("") == ()
