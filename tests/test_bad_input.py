"""What a user may get wrong, command by command: one line that names file, id and mend, and exit code 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lvistk.artifacts import read_manifest
from lvistk.engine.tensor_file import read_tensors
from tests.command_line import (
    SIX,
    Commands,
    assign,
    evaluate,
    files_below,
    filter_missing,
    small_world,
    train_repr,
    tta_infer,
)

Command = Callable[[Path, Path], list[Any]]
READ_PHOTOS = ("train-repr", "pseudo-label", "finetune", "tta-infer")
READ_MODELS = ("pseudo-label", "finetune", "tta-infer")
PHOTO = "train2017/000000000007.jpg"


@pytest.fixture
def lvistk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(capsys, monkeypatch)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos, annotations and a model, all sound."""
    root = tmp_path_factory.mktemp("drawn")
    small_world(root)
    return root


@pytest.fixture
def world(drawn: Path, tmp_path: Path, lvistk: Commands) -> Path:
    """A copy to break, with detections of its own."""
    if not (drawn / "seen").is_dir():
        assert lvistk(*tta_infer(drawn, drawn / "seen")).code == 0
    return Path(shutil.copytree(drawn, tmp_path / "world"))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def set_first(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda table: table["annotations"][0].update(fields)


# Annotation files

BROKEN = {
    "missing image": (set_first(image_id=77), "annotation 1: ", "77"),
    "missing category": (set_first(category_id=55), "annotation 1: ", "55"),
    "two points": (set_first(segmentation=[[1, 1, 9, 9]]), "annotation 1", "polygon"),
    "box with a NaN": (set_first(bbox=[1, 2, float("nan"), 4]), "", ""),
    "no box": (set_first(bbox=None), "annotation 1", "bbox"),
    "no categories": (lambda table: table.pop("categories"), "", "categories"),
}


BROKEN_FOR = [(name, what) for name in ("train-repr", "finetune", "evaluate") for what in BROKEN]
BROKEN_FOR.remove(("evaluate", "no box"))  # masks are evaluated without boxes


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
    assert before.items() <= files_below(world).items()
    (world / "train.json").write_bytes(sound)  # mended: the same command now runs
    assert lvistk(*SIX[name](world, tmp_path / "out")).code == 0


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
    cut(world / PHOTO)
    done = lvistk(*train_repr(world, tmp_path / "out"), "--set", "loader.defects=skip")
    assert done.code == 0, done
    told = " ".join(done.err)
    for count in ("1 unknown_image", "1 unknown_category", "1 degenerate_polygon"):
        assert count in told
    assert f"skipped: {world / PHOTO}: JPEG is cut short" in told
    assert read_manifest(tmp_path / "out")["state"] == "done"


# Photos


@pytest.mark.parametrize("name", READ_PHOTOS)
@pytest.mark.parametrize("what", ["cut", "missing", "empty", "text", "other size"])
def test_a_photo_that_is_broken(
    name: str, what: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """The run stops at that photo; mended, the same command goes on where it was."""
    sound = (world / PHOTO).read_bytes()
    match what:
        case "cut":
            cut(world / PHOTO)
        case "missing":
            (world / PHOTO).unlink()
        case "empty":
            (world / PHOTO).write_bytes(b"")
        case "text":
            (world / PHOTO).write_text("<html>not found</html>")
        case _:
            cv2.imwrite(str(world / PHOTO), np.zeros((20, 30, 3), np.uint8))
    out = tmp_path / "out"
    told = lvistk(*SIX[name](world, out)).error()
    assert "000000000007.jpg" in told
    kept = files_below(out)
    (world / PHOTO).write_bytes(sound)
    again = lvistk(*SIX[name](world, out))
    assert again.code == 0 and "resuming" in again.out[0], again
    shards = {path for path in kept if path.suffix == ".h5"}
    assert (name in ("train-repr", "finetune")) or len(shards) == 1
    for shard in shards:
        assert files_below(out)[shard] == kept[shard]


@pytest.mark.parametrize("name", READ_PHOTOS)
def test_no_such_photo_folder(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    option = "--val-images" if name == "tta-infer" else "--train-images"
    told = lvistk(*SIX[name](world, tmp_path / "out"), option, tmp_path / "none").error()
    assert told == f"{tmp_path / 'none'}: no such file or folder"


@pytest.mark.parametrize("name", READ_PHOTOS)
def test_a_folder_without_photos(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    option = "--val-images" if name == "tta-infer" else "--train-images"
    (tmp_path / "bare").mkdir()
    told = lvistk(*SIX[name](world, tmp_path / "out"), option, tmp_path / "bare").error()
    assert str(tmp_path / "bare") in told and "photo" in told


# Models and weights


def another_label_set(world: Path) -> None:
    further = {"id": 99, "name": "further", "frequency": "r"}
    edit(world / "train.json", lambda table: table["categories"].append(further))


@pytest.mark.parametrize("name", [*READ_MODELS, "filter-missing"])
def test_a_model_from_another_label_set(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    another_label_set(world)
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    given = "seen" if name == "filter-missing" else "model.safetensors"
    assert str(world / given) in told and "9 categories" in told and "10" in told


@pytest.mark.parametrize("name", READ_MODELS)
@pytest.mark.parametrize("share", [0.0, 0.0005, 0.5, 0.99])
def test_a_model_cut_short(
    name: str, share: float, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    cut(world / "model.safetensors", share)
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert f"{world / 'model.safetensors'}: not a whole safetensors file" in told


@pytest.mark.parametrize("name", READ_MODELS)
def test_weights_that_are_none(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    (world / "model.safetensors").write_text("not weights at all " * 99)
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert str(world / "model.safetensors") in told
    told = lvistk(*SIX[name](world, tmp_path / "out2"), "--model", world / "train2017").error()
    assert str(world / "train2017") in told


@pytest.mark.parametrize("kind", ["text", "cut", "folder", "missing"])
def test_backbone_weights_that_are_none(
    kind: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.zeros(9)}, file)
    match kind:
        case "text":
            file.write_text("not weights")
        case "cut":
            cut(file)
        case "folder":
            file.unlink()
            file.mkdir()
        case _:
            file.unlink()
    given = assign(f"model.backbone.weights={file}")
    assert str(file) in lvistk(*train_repr(world, tmp_path / "out"), *given).error()


def test_a_stage_that_is_not_finished(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    cut(world / PHOTO)
    assert lvistk(*train_repr(world, tmp_path / "half")).code == 2
    told = lvistk(*tta_infer(world, tmp_path / "out"), "--model", tmp_path / "half").error()
    assert told == f"{tmp_path / 'half'}: this stage is not finished; run it first"


def test_a_checkpoint_cut_short(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    """Resuming passes over it, says so, and ends with the same weights."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    command = [*train_repr(world, whole), "--set", "loop.epochs=2"]
    assert lvistk(*command).code == 0
    command[command.index(whole)] = out
    sound = (world / PHOTO).read_bytes()
    assert lvistk(*train_repr(world, out), "--set", "loop.epochs=2").code == 0
    manifest = read_manifest(out)
    manifest["state"] = "running"
    (out / "stage.json").write_text(json.dumps(manifest))
    (out / "model.safetensors").unlink()
    newest = max((out / "checkpoints").glob("*.safetensors"))
    cut(newest)
    done = lvistk(*command)
    assert done.code == 0, done
    assert any(str(newest) in line and "the checkpoint before it" in line for line in done.err)
    assert (world / PHOTO).read_bytes() == sound
    wanted, found = (read_tensors(f / "model.safetensors") for f in (whole, out))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


# Detections and results


def shard_of(world: Path) -> Path:
    return world / "seen" / "detections" / "00001.h5"


@pytest.mark.parametrize("name", ["filter-missing", "evaluate"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_store_cut_short(
    name: str, share: float, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    cut(shard_of(world), share)
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert str(shard_of(world)) in told and "run its stage again" in told


def test_a_store_that_is_none(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    for wrong in (world / "train.json", world / "train2017"):
        command = filter_missing(world, tmp_path / "out")
        assert str(wrong) in lvistk(*command, "--detections", wrong).error()


def results(world: Path, change: Callable[[list[Any]], None]) -> Path:
    file = world / "results.json"
    table = json.loads((world / "seen" / "results_segm.json").read_text())
    change(table)
    file.write_text(json.dumps(table))
    return file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table[1].update(score=float("nan")), "detection 2 (image_id"),
        (lambda table: table[1].update(image_id=4242), "4242"),
        (lambda table: table[1].pop("category_id"), "category_id"),
        (lambda table: table[1]["segmentation"].update(counts="!"), "RLE"),
    ],
    ids=["NaN", "other data set", "no category", "no RLE"],
)
def test_results_that_are_wrong(
    change: Callable[[list[Any]], None], words: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    file = results(world, change)
    command = evaluate(world, tmp_path / "out")
    command[2] = file
    for extra in ([], assign("engine=fast")):
        told = lvistk(*command, *extra, "--force").error()
        assert str(file) in told and words in told


def test_results_cut_short(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    file = results(world, lambda table: None)
    cut(file)
    command = evaluate(world, tmp_path / "out")
    command[2] = file
    told = lvistk(*command).error()
    assert str(file) in told


def test_truth_and_results_exchanged(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    command = evaluate(world, tmp_path / "out")
    file = results(world, lambda table: None)
    command[1], command[2] = file, command[1]
    told = lvistk(*command).error()
    assert str(world / "train.json") in told and "the truth comes first" in told


# Settings, folders, devices


@pytest.mark.parametrize("name", list(SIX))
def test_an_unknown_setting(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    told = lvistk(*SIX[name](world, tmp_path / "out"), "--set", "seeed=1").error()
    assert "seeed" in told and "did you mean 'seed'?" in told
    told = lvistk(*SIX[name](world, tmp_path / "out"), "--set", "seed=many").error()
    assert "seed" in told and "many" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", list(SIX))
def test_a_config_that_is_none(name: str, world: Path, tmp_path: Path, lvistk: Commands) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[model\n")
    for config in (world, tmp_path / "none.toml", broken, world / PHOTO):
        told = lvistk(*SIX[name](world, tmp_path / "out"), "--config", config).error()
        assert str(config) in told


@pytest.mark.parametrize("name", READ_PHOTOS)
def test_a_device_that_is_not_there(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    for device in ("gpu", "tpu:0", *([] if torch.cuda.is_available() else ["cuda", "cuda:1"])):
        told = lvistk(*SIX[name](world, tmp_path / "out"), "--device", device).error()
        assert f"--device {device.partition(':')[0]}" in told
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", list(SIX))
def test_an_out_folder_that_cannot_be_one(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """A file, a file's child, another's folder; and what lies there stays."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    before = files_below(tmp_path)
    for out in (tmp_path / "file", tmp_path / "file" / "child", tmp_path / "full"):
        for extra in ([], ["--force"]):
            told = lvistk(*SIX[name](world, out), *extra).error()
            assert str(tmp_path / out.relative_to(tmp_path).parts[0]) in told
    assert before.items() <= files_below(tmp_path).items()


# Unusual photos that are sound


@pytest.mark.parametrize("name", ["train-repr", "tta-infer"])
@pytest.mark.parametrize("kind", ["png", "grey", "alpha", "grey 16 bit"])
def test_unusual_photos_are_read(
    name: str, kind: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """The suffix does not matter, the content does: colour is made of grey, alpha is left out."""
    pixels = cv2.imread(str(world / PHOTO))
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    made = {
        "png": pixels,
        "grey": grey,
        "alpha": cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA),
        "grey 16 bit": grey.astype(np.uint16) * 257,
    }[kind]
    (world / PHOTO).write_bytes(cv2.imencode(".png", made)[1].tobytes())
    done = lvistk(*SIX[name](world, tmp_path / "out"))
    assert done.code == 0, done
