"""Random files survive the index; mutated ones give one clear line; many processes build once."""

import json
import multiprocessing
import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.bounds import check_bounds
from lvistk.data.index.flat_arrays import check_arrays, map_arrays
from lvistk.data.index.index_build import build_index
from lvistk.errors import UserError
from lvistk.masks import rle
from tests.data.lvis_files import SQUARE, annotation, category, image, write

CORNER = st.integers(0, 50)
BOX = st.tuples(CORNER, CORNER, st.integers(1, 10), st.integers(1, 10))


@st.composite
def datasets(draw) -> tuple[list, list, list]:
    """Sound files of any shape: images in any order, several parts, RLE, images without annotation."""
    category_ids = draw(st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True))
    image_ids = draw(st.lists(st.integers(0, 2**40), max_size=6, unique=True))
    lists = st.lists(st.sampled_from(category_ids), unique=True)
    images = [
        image(n, neg_category_ids=draw(lists), not_exhaustive_category_ids=draw(lists))
        for n in image_ids
    ]
    annotations = []
    for number in range(draw(st.integers(0, 8)) if image_ids else 0):
        x, y, w, h = draw(BOX)
        square = [x, y, x + w, y, x + w, y + h, x, y + h]
        segmentation: object = [square] * draw(st.integers(1, 3))
        if draw(st.booleans()):
            bitmap = np.zeros((60, 80))
            bitmap[y : y + h, x : x + w] = 1
            segmentation = {"size": [60, 80], "counts": rle.encode(bitmap).decode()}
        annotations.append(
            annotation(
                number,
                draw(st.sampled_from(image_ids)),
                draw(st.sampled_from(category_ids)),
                bbox=[x, y, w, h],
                segmentation=segmentation,
                area=draw(st.sampled_from([None, float(w * h)])),
            )
        )
    return images, annotations, [category(n, f"c{n}") for n in category_ids]


@settings(max_examples=40, deadline=None)
@given(datasets())
def test_random_files_are_given_back(data: tuple[list, list, list]) -> None:
    images, annotations, categories = data
    with TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.json", images, annotations, categories)
        index = AnnotationIndex.open([path], cache=Path(folder) / "cache")
        for i, image in enumerate(images):
            wanted = [a for a in annotations if a["image_id"] == image["id"]]
            found = index.annotations(i)
            assert index.ids(i).tolist() == [a["id"] for a in wanted]
            ids = index.categories.ids[found.labels].tolist()
            assert ids == [a["category_id"] for a in wanted]
            assert found.areas.tolist() == [a["bbox"][2] * a["bbox"][3] for a in wanted]
            negative = index.categories.ids[index.negative_labels(i)].tolist()
            assert negative == sorted(image["neg_category_ids"])
            for g, a in enumerate(wanted):
                x, y, w, h = a["bbox"]
                assert found.boxes[g].tolist() == [x, y, x + w, y + h]
                is_rle = isinstance(a["segmentation"], dict)
                assert (g in found.bitmaps) == is_rle
                parts = [part.reshape(-1).tolist() for part in found.polygons.parts(g)]
                assert parts == ([] if is_rle else a["segmentation"])
        counts = [sum(a["category_id"] == c for a in annotations) for c in index.categories.ids]
        assert index.categories.instance_count.tolist() == counts


def _valid() -> dict:
    ring = {"size": [60, 80], "counts": rle.encode(np.pad(np.ones((9, 9)), 30)[:60, :80]).decode()}
    return {
        "info": {"version": "v1"},
        "images": [image(1, neg_category_ids=[2, 9]), image(2), image(3, file_name="x.jpg")],
        "annotations": [
            annotation(1, 1, 2),
            annotation(
                2, 2, 5, segmentation=[list(SQUARE[0]), [1, 1, 5, 1, 5, 5.5]], bbox=[1, 1, 19, 19]
            ),
            annotation(3, 2, 9, segmentation=ring, bbox=[30, 30, 9, 9], area=81.0),
        ],
        "categories": [category(5, "cup", "c"), category(2, "cat"), category(9, "zebra", "r")],
    }


STRANGE = [None, True, -1, 0, 1.5, 1e300, -(2**70), 2**31, "", "é\u0000", [], {}, [[]], [None], "1"]


def _mutated_value(draw: random.Random) -> bytes:
    """A valid file of which a few values were replaced, removed or doubled."""
    data = _valid()
    for _ in range(draw.randint(1, 3)):
        node: object = data
        while isinstance(node, dict | list) and node:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = draw.choice(keys)
            child = node[key]
            if not isinstance(child, dict | list) or not child or draw.random() < 0.2:
                action = draw.random()
                if action < 0.6:
                    node[key] = draw.choice(STRANGE)
                elif action < 0.8:
                    del node[key]
                elif isinstance(node, list):
                    node.append(child)
                break
            node = child
    return json.dumps(data).encode()


def _mutated_bytes(draw: random.Random) -> bytes:
    """A valid file of which a few bytes were replaced, removed, doubled, or the rest cut off."""
    data = bytearray(json.dumps(_valid()).encode())
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data)) if data else 0
        action = draw.randrange(4)
        if action == 0:
            data[place : place + 1] = bytes([draw.choice(b'[]{}",:-.eE0193 \x00\xff\\ntu')])
        elif action == 1:
            del data[place : place + draw.randint(1, 30)]
        elif action == 2:
            data[place:place] = data[place : place + draw.randint(1, 30)]
        elif draw.random() < 0.3:
            del data[place:]
    return bytes(data)


def _fuzz(tmp_path: Path, rounds: int) -> tuple[int, int]:
    refused = 0
    for seed in range(rounds):
        draw = random.Random(seed)
        path = tmp_path / f"{seed}.json"
        path.write_bytes((_mutated_bytes if seed % 2 else _mutated_value)(draw))
        try:
            build_index([path], tmp_path / f"{seed}")
            index = AnnotationIndex(tmp_path / f"{seed}", [path])
            for i in range(len(index)):
                index.annotations(i), index.negative_labels(i), index.file_name(i)
            assert all(path.name in defect.line(index.sources) for defect in index.defects)
            refused += index.defect_count > 0
        except UserError as error:
            refused += 1
            told = str(error)
            if str(path) not in told or len(told) > 500 or "\n" in told:
                pytest.fail(f"seed {seed}: not one clear line: {told}")
        path.unlink()
    return refused, rounds


def test_mutated_files_give_one_clear_line(tmp_path: Path) -> None:
    refused, rounds = _fuzz(tmp_path, 300)
    assert refused > rounds / 4


@pytest.mark.slow
def test_ten_thousand_mutated_files(tmp_path: Path) -> None:
    refused, rounds = _fuzz(tmp_path, 10_000)
    assert refused > rounds / 4


def _open(task: tuple[Path, Path]) -> tuple[str, int]:
    path, cache = task
    index = AnnotationIndex.open([path], cache=cache)
    return str(index.folder), len(index.labels)


def test_many_processes_build_it_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(n, 1, 2) for n in range(3000)])
    cache = tmp_path / "cache"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_open, [(path, cache)] * 8, chunksize=1)
    assert len(set(found)) == 1 and found[0][1] == 3000
    folders = [p.name for p in cache.iterdir() if p.is_dir() and p.name != "seen"]
    assert folders == [Path(found[0][0]).name]  # no temporary one left


def test_a_killed_build_is_begun_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    cache = tmp_path / "cache"
    folder = AnnotationIndex.open([path], cache=cache).folder
    folder.rename(cache / f".{folder.name}.1.part")
    assert len(AnnotationIndex.open([path], cache=cache).labels) == 1
    assert not list(cache.glob(".*.part"))


def test_a_damaged_index_is_built_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    cache = tmp_path / "cache"
    folder = AnnotationIndex.open([path], cache=cache).folder
    (folder / "boxes.bin").write_bytes(b"")
    assert AnnotationIndex.open([path], cache=cache).boxes.tolist() == [[10, 10, 20, 20]]
    (folder / "arrays.json").write_text("{")
    assert AnnotationIndex.open([path], cache=cache).boxes.tolist() == [[10, 10, 20, 20]]


def test_a_flipped_byte_is_noticed_in_every_file(tmp_path: Path) -> None:
    ring = {"size": [60, 80], "counts": rle.encode(np.pad(np.ones((9, 9)), 30)[:60, :80]).decode()}
    path = write(
        tmp_path / "a.json",
        [image(1, neg_category_ids=[9], not_exhaustive_category_ids=[2], file_name="a.jpg")],
        [annotation(1, 1, 2), annotation(2, 1, 5, segmentation=ring), annotation(3, 1, 77)],
    )
    cache = tmp_path / "cache"
    folder = AnnotationIndex.open([path], cache=cache, defects="skip").folder
    sound = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix == ".bin"}
    sound["arrays.json"] = (folder / "arrays.json").read_bytes()
    assert sum(map(bool, sound.values())) > 20
    for number, (name, data) in enumerate(sound.items()):
        if data:
            at = number * 7 % len(data)
            (folder / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            AnnotationIndex.open([path], cache=cache, defects="skip")
            assert (folder / name).read_bytes() == data, name


def test_checksums_are_compared_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    folder = AnnotationIndex.open([path], cache=tmp_path / "cache").folder
    assert check_arrays(folder) is False
    (folder / "boxes.bin").touch()
    assert check_arrays(folder) is True
    assert check_arrays(folder) is False


BEYOND = {
    "labels": lambda values: values + 99,
    "row": lambda values: values * 5,
    "part_start": lambda values: values[::-1].copy(),
    "areas": lambda values: values[:-1],
    "image_order": lambda values: values - 1,
}


@pytest.mark.parametrize("name", BEYOND)
def test_arrays_that_do_not_fit_each_other_are_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2), annotation(2, 1, 5)])
    arrays, _ = map_arrays(AnnotationIndex.open([path], cache=tmp_path / "cache").folder)
    check_bounds(arrays)
    with pytest.raises(ValueError, match="does not fit"):
        check_bounds({**arrays, name: BEYOND[name](arrays[name])})


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_the_cache_of_another_user_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    cache = tmp_path / "cache"
    folder = AnnotationIndex.open([path], cache=cache).folder
    assert folder.parent == cache
    os.chown(folder, 12345, 12345)
    again = AnnotationIndex.open([path], cache=cache).folder
    assert again.is_relative_to(tmp_path / "own") and again.name == folder.name
    os.chown(cache, 12345, 12345)
    assert AnnotationIndex.open([path], cache=cache).folder == again
