"""The Open Images pool: layouts, list formats, rotation, duplicates, size."""

import errno
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from lvistk.data.index.flat_arrays import FlatWriter, map_arrays
from lvistk.data.pool.open_images import OpenImages
from lvistk.data.pool.pool_list import flickr_id, read_list
from lvistk.errors import UserError
from tests.shared_data import REALDATA, needs_realdata

IDS = ["0030304448d12953", "3a09c1f0d8b2e4f7", "f9f8e85668b04e3d", "a0f5279df9e4c385"]
HEAD = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
    "OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation"
)


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def row(image: str, rotation: str, record: int = 1, title: str = "a, b") -> str:
    url = f"https://farm5.staticflickr.com/4097/{record}_cd46aade0a_o.jpg"
    page = f"https://www.flickr.com/photos/some_one/{record}"
    return f'{image},train,{url},{page},l,p,"A ""B""","{title}",1,m,,{rotation}'


@pytest.mark.parametrize(
    "names",
    [
        [f"{i}.jpg" for i in IDS],
        [f"train_{i[0]}/{i}.jpg" for i in IDS],
        [f"train/train_{i[0]}/{i}.jpg" for i in IDS],
        [f"train/{IDS[0]}.jpg", f"{IDS[1]}.jpg", f"x/y/z/{IDS[2]}.jpeg", f"test/{IDS[3]}.jpg"],
    ],
    ids=["flat", "sharded", "nested", "mixed"],
)
def test_every_layout_gives_the_same_images(tmp_path: Path, names: list[str]) -> None:
    root = put(tmp_path / "pool", *names, "readme.txt", "train_0/short.jpg")
    pool = OpenImages.open(root, cache=tmp_path / "cache")
    assert [f"{int(i):016x}" for i in pool.ids] == sorted(IDS)
    assert sorted(pool.name(i) for i in range(4)) == sorted(names)
    assert all(pool.path(i).is_file() and pool.rotation(i) == 0 for i in range(4))
    again = pickle.loads(pickle.dumps(pool))
    assert [again.name(i) for i in range(4)] == [pool.name(i) for i in range(4)]


def test_suffixes_and_upper_case_and_a_loop_of_links(tmp_path: Path) -> None:
    names = [f"{IDS[0]}.JPG", f"a/{IDS[1].upper()}.webp", f"{IDS[2]}.bmp", f"a/b/{IDS[3]}.Tiff"]
    root = put(tmp_path / "pool", *names, f"{'0' * 16}.txt")
    (root / "a" / "b" / "again").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    pool = OpenImages.open(root, cache=tmp_path / "cache")
    assert sorted(pool.name(i) for i in range(len(pool))) == sorted(names)
    assert all(pool.path(i).is_file() for i in range(4))
    entered = [name for name, _ in map_arrays(pool.cached)[1]["folders"]]
    assert sorted(entered) == ["", "a", "a/b"]  # not again through the loop


def test_a_damaged_cache_and_what_a_killed_build_left_are_replaced(tmp_path: Path) -> None:
    root, cache = put(tmp_path / "pool", *(f"{i}.jpg" for i in IDS)), tmp_path / "cache"
    pool = OpenImages.open(root, cache=cache)
    ids, file = pool.ids.tolist(), pool.cached / "ids.bin"
    sound = file.read_bytes()
    (cache / f".{pool.cached.name}.1.part").mkdir()
    (cache / f".{pool.cached.name}.1.old").mkdir()
    file.write_bytes(sound[:9] + bytes([sound[9] ^ 1]) + sound[10:])
    assert OpenImages.open(root, cache=cache).ids.tolist() == ids
    assert file.read_bytes() == sound
    assert not [path.name for path in cache.iterdir() if path.name.startswith(".")]
    for text in ("", "[]", "{", '{"notes": 3}'):
        (pool.cached / "arrays.json").write_text(text)
        assert OpenImages.open(root, cache=cache).ids.tolist() == ids


def test_a_build_on_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = put(tmp_path / "pool", *(f"{i}.jpg" for i in IDS)), tmp_path / "cache"

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FlatWriter, "finish", full)
        with pytest.raises(OSError, match="No space"):
            OpenImages.open(root, cache=cache)
    assert not [path for path in cache.iterdir() if path.is_dir()]
    assert len(OpenImages.open(root, cache=cache)) == len(IDS)


def test_a_guard_that_cannot_guard_is_refused(tmp_path: Path) -> None:
    root = put(tmp_path / "pool", *(f"{i}.jpg" for i in IDS))
    with_url = {
        "id": 1,
        "height": 4,
        "width": 4,
        "flickr_url": "http://x.staticflickr.com/8/7_ab.jpg",
    }
    without = {"id": 1, "height": 4, "width": 4}
    (tmp_path / "ids").write_text("\n".join(IDS))
    (tmp_path / "l.csv").write_text("\n".join([HEAD, *(row(i, "") for i in IDS)]))
    for image, list_path, said in (
        (with_url, None, "no --pool-list"),
        (with_url, tmp_path / "ids", "ids has no Flickr addresses"),
        (without, tmp_path / "l.csv", "val.json has no flickr_url"),
    ):
        (tmp_path / "val.json").write_text(json.dumps({"images": [image], "categories": []}))
        with pytest.raises(UserError, match=said) as told:
            OpenImages.open(
                root, list_path=list_path, exclude=[tmp_path / "val.json"], cache=tmp_path / "c"
            )
        assert "--exclude-images" in str(told.value)
        by_content = OpenImages.open(
            root,
            list_path=list_path,
            exclude=[tmp_path / "val.json"],
            cache=tmp_path / "c",
            compares_content=True,
        )
        assert len(by_content) == 4 and by_content.excluded == 0


def test_image_ids_are_the_bits_of_the_name(tmp_path: Path) -> None:
    pool = OpenImages.open(put(tmp_path / "p", *(f"{i}.jpg" for i in IDS)), cache=tmp_path / "c")
    found = [pool.image_id(i) & (1 << 64) - 1 for i in range(4)]
    assert found == sorted(int(i, 16) for i in IDS)
    assert all(-(1 << 63) <= pool.image_id(i) < 1 << 63 for i in range(4))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join([HEAD, *(row(i, "") for i in IDS[:3])]),
        "\ufeff"
        + "\r\n".join([HEAD.removesuffix(",Rotation"), *(row(i, "")[:-1] for i in IDS[:3])]),
        '"ImageID","Subset"\n' + "\n".join(f'"{i}","train"' for i in IDS[:3]),
        "\n".join(f"train/{i}" for i in IDS[:3]) + "\n\n",
        "\n".join(IDS[:3]),
    ],
    ids=["V4", "V3", "quoted", "downloader", "bare"],
)
def test_every_list_format_restricts_the_pool(tmp_path: Path, text: str) -> None:
    root = put(tmp_path / "pool", *(f"{i}.jpg" for i in IDS[1:]))
    (tmp_path / "list").write_text(text, encoding="utf-8")
    pool = OpenImages.open(root, list_path=tmp_path / "list", cache=tmp_path / "cache")
    assert [pool.name(i) for i in range(len(pool))] == [f"{IDS[1]}.jpg", f"{IDS[2]}.jpg"]
    assert (pool.unlisted, pool.absent) == (1, 1)


def test_rotation_is_read_by_column(tmp_path: Path) -> None:
    rows = [row(i, r) for i, r in zip(IDS, ("90.0", "", "270", "nan"), strict=True)]
    (tmp_path / "l.csv").write_text("\n".join([HEAD, *rows]))
    root = put(tmp_path / "pool", *(f"{i}.jpg" for i in IDS))
    pool = OpenImages.open(root, list_path=tmp_path / "l.csv", cache=tmp_path / "c")
    turned = {pool.name(i)[:16]: pool.rotation(i) for i in range(4)}
    assert turned == {IDS[0]: 90, IDS[1]: 0, IDS[2]: 270, IDS[3]: 0}


def test_images_of_evaluation_files_are_excluded(tmp_path: Path) -> None:
    rows = [row(i, "", record=n) for n, i in enumerate(IDS, 100)]
    (tmp_path / "l.csv").write_text("\n".join([HEAD, *rows]))
    images = [
        {
            "id": 1,
            "height": 4,
            "width": 4,
            "flickr_url": f"http://farm1.staticflickr.com/8/{p}_ab_z.jpg",
        }
        for p in (101, 103, 999)
    ]
    images.append({"id": 2, "height": 4, "width": 4})
    (tmp_path / "val.json").write_text(json.dumps({"images": images, "categories": []}))
    pool = OpenImages.open(
        put(tmp_path / "pool", *(f"{i}.jpg" for i in IDS)),
        list_path=tmp_path / "l.csv",
        exclude=[tmp_path / "val.json"],
        cache=tmp_path / "c",
    )
    assert pool.excluded == 2
    assert {pool.name(i)[:16] for i in range(len(pool))} == {IDS[0], IDS[2]}


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    root = put(tmp_path / "pool", f"train_0/{IDS[0]}.jpg")
    assert len(OpenImages.open(root, cache=tmp_path / "c")) == 1
    put(root, f"train_0/{IDS[1]}.jpg", f"new/{IDS[2]}.jpg")
    assert len(OpenImages.open(root, cache=tmp_path / "c")) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{IDS[0]}\nnothex", "line 2"),
        (f"elsewhere/{IDS[0]}", "line 1: 'elsewhere'"),
        (f"{HEAD}\n{IDS[0]},train", "line 2 has 2 fields"),
        ("\n".join([HEAD, row(IDS[0], "45")]), "rotation '45'"),
        ("\n".join([HEAD, row("xyz", "90")]), "line 2: 'xyz'"),
        (IDS[3], "no image"),
    ],
)
def test_a_broken_list_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "list").write_text(text)
    root = put(tmp_path / "pool", f"{IDS[0]}.jpg")
    with pytest.raises(UserError, match=said):
        OpenImages.open(root, list_path=tmp_path / "list", cache=tmp_path / "c")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        OpenImages.open(tmp_path / "none", cache=tmp_path / "c")
    with pytest.raises(UserError, match="no such list"):
        read_list(tmp_path / "none.csv")


def test_flickr_ids() -> None:
    assert flickr_id("http://farm9.staticflickr.com/8081/8331940980_ef74d48dff_z.jpg") == 8331940980
    assert flickr_id("https://c4.staticflickr.com/1/2/53_0f_o.jpg") == 53
    assert flickr_id("https://www.flickr.com/photos/a_b@N00/1234/") == 1234
    assert flickr_id("https://example.org/1_2.jpg") == -1
    assert flickr_id("") == -1


@needs_realdata
def test_real_images_with_their_list(tmp_path: Path) -> None:
    pool = OpenImages.open(
        REALDATA / "images" / "openimages",
        list_path=REALDATA / "annotations" / "openimages_unlabeled.csv",
        exclude=[REALDATA / "annotations" / "coco_as_lvis_v1_val.json"],
        cache=tmp_path,
        compares_content=True,
    )
    assert (len(pool), pool.absent, pool.unlisted, pool.excluded) == (72, 0, 0, 0)
    assert np.all(np.diff(pool.ids.astype(object)) > 0)
