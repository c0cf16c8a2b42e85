"""Models, weights and checkpoints that are none, or of another data set: one line, and exit code 2."""

import json
from pathlib import Path

import pytest
import torch

from lvistk.artifacts import read_manifest
from lvistk.models.tensor_file import read_tensors
from tests.bad_input.spoil import IMAGE, READ_MODELS, cut, edit
from tests.command_line import SIX, Commands, assign, train_repr, tta_infer


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
    assert (name == "finetune") or not (tmp_path / "out").exists()


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
    cut(world / IMAGE)
    assert lvistk(*train_repr(world, tmp_path / "half")).code == 2
    told = lvistk(*tta_infer(world, tmp_path / "out"), "--model", tmp_path / "half").error()
    assert told == f"{tmp_path / 'half'}: this stage is not finished; run it first"


def test_a_checkpoint_cut_short(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    """Resuming passes over it, says so, and ends with the same weights."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    command = [*train_repr(world, whole), "--set", "loop.epochs=2"]
    assert lvistk(*command).code == 0
    command[command.index(whole)] = out
    sound = (world / IMAGE).read_bytes()
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
    assert (world / IMAGE).read_bytes() == sound
    wanted, found = (read_tensors(f / "model.safetensors") for f in (whole, out))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
