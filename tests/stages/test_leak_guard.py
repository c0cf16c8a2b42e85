"""pseudo-label --exclude: what it excludes, what it says, and that it refuses where it cannot."""

import json
from pathlib import Path

import cv2
import pytest

from lvistk.artifacts import read_manifest
from lvistk.data.store.detection_store import DetectionStore
from tests.command_line import INFER, Commands, assign, small_world
from tests.data.test_leak_guard import copies, drawn


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A model; evaluation images 0 to 3; a pool of six images, of which two show images 1 and 2."""
    small_world(tmp_path, images=4)
    for k in range(4):
        (tmp_path / "val2017").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "val2017" / f"{k}.png"), drawn(k))
    images = [
        {"id": k + 1, "height": 240, "width": 320, "file_name": f"val2017/{k}.png"}
        for k in range(4)
    ]
    table = json.loads((tmp_path / "train.json").read_text()) | {
        "images": images,
        "annotations": [],
    }
    (tmp_path / "val.json").write_text(json.dumps(table))
    (tmp_path / "pool").mkdir()
    shown = [drawn(10), copies(drawn(1))[2], drawn(11), copies(drawn(2))[1], drawn(12), drawn(13)]
    for k, image in enumerate(shown):
        cv2.imwrite(str(tmp_path / "pool" / f"{k:016x}.jpg"), image)
    return tmp_path


def command(world: Path, *more: object) -> list[object]:
    given = ["--source", "openimages", "--model", world / "model.safetensors"]
    given += ["--pool", world / "pool", "--exclude", world / "val.json", "--out", world / "out"]
    return ["pseudo-label", *given, "--device", "cpu", *assign(*INFER), *more]


def test_without_a_way_to_know_them_it_is_refused(world: Path, lvistk: Commands) -> None:
    told = lvistk(*command(world)).error()
    assert "--exclude" in told and "--exclude-images" in told


def test_copies_are_excluded_counted_and_listed(world: Path, lvistk: Commands) -> None:
    done = lvistk(*command(world, "--exclude-images", world))
    assert done.code == 0, done
    assert DetectionStore.open(world / "out").image_ids.tolist() == [0, 2, 4, 5]
    summary = read_manifest(world / "out")["summary"]
    assert (summary["photos"], summary["excluded_by_content"], summary["unreadable"]) == (4, 2, 0)
    rows = json.loads((world / "out" / "excluded.json").read_text())
    assert [row["image_id"] for row in rows] == [1, 3] and "1.png" in rows[0]["reason"]
    assert any("2 of 6 images were excluded" in line for line in done.err), done.err
