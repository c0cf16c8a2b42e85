"""Images that are broken or missing: one line, and exit code 2. Unusual ones are read."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.artifacts import read_manifest
from lvistk.data.store.detection_store import DetectionStore
from tests.bad_input.spoil import IMAGE, READ_IMAGES, cut, edit
from tests.command_line import SIX, Commands, assign, files_below

INFERENCE = ("pseudo-label", "tta-infer")


@pytest.mark.parametrize("name", READ_IMAGES)
@pytest.mark.parametrize("what", ["cut", "missing", "empty", "text", "other size"])
def test_an_image_that_is_broken(
    name: str, what: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """The run stops at that image where none is allowed; mended, the same command goes on."""
    strict = assign("predict.max_unreadable=0") if name in INFERENCE else []
    sound = (world / IMAGE).read_bytes()
    match what:
        case "cut":
            cut(world / IMAGE)
        case "missing":
            (world / IMAGE).unlink()
        case "empty":
            (world / IMAGE).write_bytes(b"")
        case "text":
            (world / IMAGE).write_text("<html>not found</html>")
        case _:
            cv2.imwrite(str(world / IMAGE), np.zeros((20, 30, 3), np.uint8))
    out = tmp_path / "out"
    told = lvistk(*SIX[name](world, out), *strict).error()
    assert "000000000007.jpg" in told
    kept = files_below(out)
    (world / IMAGE).write_bytes(sound)
    again = lvistk(*SIX[name](world, out), *strict)
    assert again.code == 0 and "resuming" in again.out[0], again
    shards = {path for path in kept if path.suffix == ".h5"}
    assert (name in ("train-repr", "finetune")) or len(shards) == 1
    for shard in shards:
        assert files_below(out)[shard] == kept[shard]


@pytest.mark.parametrize("name", INFERENCE)
@pytest.mark.parametrize("what", ["cut", "missing"])
def test_inference_leaves_a_broken_image_out(
    name: str, what: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """One of twelve: told, counted and listed; the other eleven are detected on."""
    cut(world / IMAGE) if what == "cut" else (world / IMAGE).unlink()
    out = tmp_path / "out"
    done = lvistk(*SIX[name](world, out))
    assert done.code == 0, done
    assert any("1 of 12 images could not be read" in line for line in done.err), done.err
    (row,) = json.loads((out / "unreadable.json").read_text())
    assert row["image_id"] == 7 and "000000000007.jpg" in row["reason"]
    summary = read_manifest(out)["summary"]
    assert (summary["photos"], summary["unreadable"]) == (11, 1)
    assert "unreadable.json" in read_manifest(out)["outputs"]


def test_images_without_a_size_are_detected_on(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """A list of one's own images has ids and names, and no annotation."""

    def strip(table: dict) -> None:
        for image in table["images"][:5]:
            del image["height"], image["width"]
        table["annotations"] = []

    edit(world / "train.json", strip)
    done = lvistk(*SIX["tta-infer"](world, tmp_path / "out"))
    assert done.code == 0, done
    assert any("5 images are listed without a size" in line for line in done.out), done.out
    store = DetectionStore.open(tmp_path / "out")
    assert sorted(store.image_ids.tolist()) == list(range(1, 13))
    for image in store:
        path = world / "train2017" / f"{image.image_id:012d}.jpg"
        assert image.size == cv2.imread(str(path)).shape[:2]


@pytest.mark.parametrize("name", INFERENCE)
def test_a_list_without_images_is_an_error(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    edit(world / "train.json", lambda table: table.update(images=[], annotations=[]))
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert str(world / "train.json") in told and "no image is left" in told


@pytest.mark.parametrize("name", READ_IMAGES)
def test_no_such_image_folder(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    option = "--val-images" if name == "tta-infer" else "--train-images"
    told = lvistk(*SIX[name](world, tmp_path / "out"), option, tmp_path / "none").error()
    assert told == f"{tmp_path / 'none'}: no such file or folder"


@pytest.mark.parametrize("name", READ_IMAGES)
def test_a_folder_without_images(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    option = "--val-images" if name == "tta-infer" else "--train-images"
    (tmp_path / "bare").mkdir()
    told = lvistk(*SIX[name](world, tmp_path / "out"), option, tmp_path / "bare").error()
    assert str(tmp_path / "bare") in told and "image" in told


@pytest.mark.parametrize("name", ["train-repr", "tta-infer"])
@pytest.mark.parametrize("kind", ["png", "grey", "alpha", "grey 16 bit"])
def test_unusual_images_are_read(
    name: str, kind: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """The suffix does not matter, the content does: colour is made of grey, alpha is left out."""
    pixels = cv2.imread(str(world / IMAGE))
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    made = {
        "png": pixels,
        "grey": grey,
        "alpha": cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA),
        "grey 16 bit": grey.astype(np.uint16) * 257,
    }[kind]
    (world / IMAGE).write_bytes(cv2.imencode(".png", made)[1].tobytes())
    done = lvistk(*SIX[name](world, tmp_path / "out"))
    assert done.code == 0, done


def test_a_broken_image_that_is_deleted_after_it_was_left_out(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """The run goes on, and is done: it had left the image out anyway."""
    cut(world / IMAGE)
    out, command = tmp_path / "out", SIX["tta-infer"](world, tmp_path / "out")
    assert lvistk(*command).code == 0
    manifest = read_manifest(out)
    (out / "stage.json").write_text(json.dumps(manifest | {"state": "running"}))
    (out / "detections" / "00002.h5").unlink()
    (world / IMAGE).unlink()
    again = lvistk(*command)
    assert again.code == 0 and "resuming" in again.out[0], again
    assert lvistk(*command).out == [f"tta_infer: done ({out})"]
