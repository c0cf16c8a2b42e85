"""tta-infer and pseudo-label on images that no annotation file lists."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.config.train import SelfTrainSettings
from lvistk.data.index.lvis_json import read_categories
from lvistk.data.store.detection_store import DetectionStore
from lvistk.selftrain.pseudo import PseudoSource
from tests.command_line import INFER, Commands, assign, small_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and images of odd names in two folders below ``pool``."""
    root = tmp_path_factory.mktemp("any")
    small_world(root, images=6)
    for k, name in enumerate(("a/red car.jpg", "a/ß.png", "b/two.jpg", "b/deep/three.jpg")):
        path = root / "pool" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = cv2.imread(str(root / "train2017" / f"{k + 1:012d}.jpg"))
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return root


def command(world: Path, name: str, *words: object) -> list[object]:
    low = assign(*INFER, "merge.score_threshold=0.001")
    return [name, "--model", world / "model.safetensors", "--device", "cpu", *low, *words]


def test_tta_infer_lists_its_images(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    out = tmp_path / "out"
    done = lvistk(*command(world, "tta-infer", "--images", world / "pool", "--out", out))
    assert done.code == 0, done
    listed = json.loads((out / "images.json").read_text())
    names = {one["id"]: one["file_name"] for one in listed["images"]}
    assert sorted(names.values()) == ["a/red car.jpg", "a/ß.png", "b/deep/three.jpg", "b/two.jpg"]
    assert len(listed["categories"]) == 9 and listed["annotations"] == []
    results = json.loads((out / "results_segm.json").read_text())
    assert {one["image_id"] for one in results} <= names.keys() and results
    # the list serves as an annotation file: the same images by it, the same detections
    again = tmp_path / "again"
    by_list = ["--val", out / "images.json", "--val-images", world / "pool", "--out", again]
    assert lvistk(*command(world, "tta-infer", *by_list)).code == 0
    ours, theirs = DetectionStore.open(out), DetectionStore.open(again)
    for row, image in enumerate(ours):
        other = theirs[int(theirs.rows(image.image_id)[0])]
        np.testing.assert_array_equal(image.scores, other.scores, err_msg=ours.name(row))


def test_pseudo_labels_of_any_images_are_a_source(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    pool = world / "pool"
    ways = {
        "all": ["--pool", pool],
        "some": ["--pool", pool, "--images", pool / "b"],
        "glob": ["--images", pool / "b/**/*.jpg"],
        "drawn": ["--pool", pool, "--set", "max_images=2"],
    }
    expected = {
        "all": ["a/red car.jpg", "a/ß.png", "b/deep/three.jpg", "b/two.jpg"],
        "some": ["b/deep/three.jpg", "b/two.jpg"],
        "glob": ["deep/three.jpg", "two.jpg"],
    }
    for way, given in ways.items():
        out = tmp_path / way
        line = command(world, "pseudo-label", "--source", "images", *given, "--out", out)
        done = lvistk(*line)
        assert done.code == 0, done
        store = DetectionStore.open(out)
        names = [store.name(row) for row in range(len(store))]
        if way == "drawn":
            assert len(names) == 2 and set(names) <= set(expected["all"])
            continue
        assert names == expected[way]
        root = pool / "b" if way == "glob" else pool
        assert any(f"train-repr finds them with --pool {root}" in text for text in done.out)
        source = PseudoSource(
            store,
            root,
            categories=read_categories(world / "train.json"),
            settings=SelfTrainSettings(pseudo_score=0.0),
        )
        assert all(source.image(row).path.is_file() for row in range(len(source)))


def test_images_to_exclude_are_told_by_what_they_show(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    given = ["--source", "images", "--pool", world / "pool", "--exclude", world / "train.json"]
    line = command(world, "pseudo-label", *given, "--out", tmp_path / "out")
    assert "give --exclude-images" in lvistk(*line).error()
    done = lvistk(*line, "--exclude-images", world)
    assert done.code == 0, done
    assert len(DetectionStore.open(tmp_path / "out")) < 4  # most are copies of the excluded ones


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("tta-infer", [], "tta-infer needs images: give --images, or --val"),
        ("pseudo-label", ["--source", "images"], "needs --images, or --pool, a folder"),
    ],
)
def test_without_images(world: Path, tmp_path: Path, lvistk: Commands, name, words, told) -> None:
    assert told in lvistk(*command(world, name, *words, "--out", tmp_path / "out")).error()


def test_images_outside_of_the_pool(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    given = ["--source", "images", "--pool", world / "pool", "--images", world / "train2017"]
    line = command(world, "pseudo-label", *given, "--out", tmp_path / "out")
    assert "is not below" in lvistk(*line).error()
