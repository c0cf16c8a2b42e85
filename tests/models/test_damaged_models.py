"""Models that are damaged, hostile or full of NaN: one line that names the file, before anything is built."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lvistk.errors import UserError
from lvistk.models.build import build_model
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model, save_model
from lvistk.models.tensor_file import KEY, read_table, read_tensors, write_tensors
from tests.engine.small_model import categories, small_settings

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> MaskRCNN:
    return build_model(small_settings(), categories(3, 30, 300))


def refused(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        load_model(path, device=CPU)
    assert str(told.value).startswith(str(path)) and "\n" not in str(told.value)


def test_each_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path, rng = tmp_path / "t.safetensors", random.Random(0)
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([True, False])}
    write_tensors(path, tensors, table={"kind": "test", "numbers": [1.5, -2, None], "name": "é"})
    sound = path.read_bytes()
    for place in range(len(sound)):
        changed = bytearray(sound)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        told = ""
        try:
            found, table = read_tensors(path), read_table(path)
        except UserError as error:
            told = str(error)
        else:  # a blank of the JSON became another blank
            assert all(torch.equal(found[name], value) for name, value in tensors.items())
            assert table == {"kind": "test", "numbers": [1.5, -2, None], "name": "é"}
        assert not told or told.startswith(str(path))


def test_files_without_a_digest_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={KEY: json.dumps({"kind": "old"})})
    assert read_table(path) == {"kind": "old"} and read_tensors(path)["a"].tolist() == [1, 1]


def test_equal_models_are_equal_files(tmp_path: Path, model: MaskRCNN) -> None:
    for name in "ab":
        save_model(tmp_path / name, model, extra={})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "text", ["", "[", "[1]", "null", "[" * 100_000, '{"a": ' + "9" * 5000 + "}"]
)
def test_metadata_that_are_no_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={KEY: text})
    refused(path, "metadata are damaged")


def spoiled(path: Path, model: MaskRCNN, **changes: Any) -> None:
    save_model(path, model, extra={})
    table = read_table(path) | changes
    write_tensors(path, model.state_dict(), table=table)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": None},
        {"settings": [1]},
        {"categories": {}},
        {"categories": None},
        {"categories": {"ids": [1, "x"], "names": 3}},
        {"categories": {"ids": [10**30], "names": ["a"]}},
    ],
)
def test_tables_of_the_wrong_form(tmp_path: Path, model: MaskRCNN, changes: dict) -> None:
    path = tmp_path / "m.safetensors"
    spoiled(path, model, **changes)
    refused(path, "metadata are damaged|settings")


@pytest.mark.parametrize(
    ("room", "change"),
    [
        ("mask", {"convs": 100_000_000}),
        ("box", {"fc_layers": 10_000_000}),
        ("box", {"fc_channels": 10_000_000}),
        ("fpn", {"channels": 10_000_000}),
        ("backbone", {"width": 1e6}),
    ],
)
def test_settings_of_a_far_larger_model(
    tmp_path: Path, model: MaskRCNN, room: str, change: dict
) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, model, extra={})
    settings = read_table(path)["settings"]
    settings[room] |= change
    spoiled(path, model, settings=settings)
    refused(path, "far larger model than its weights| settings ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(
    tmp_path: Path, model: MaskRCNN, value: float
) -> None:
    path, name = tmp_path / "m.safetensors", "backbone.body.layer2.0.conv1.weight"
    save_model(path, model, extra={})
    tensors, table = read_tensors(path), read_table(path)
    tensors[name].view(-1)[3] = value
    write_tensors(path, tensors, table=table)
    refused(path, rf"'{name}' holds values that are not finite")


def test_the_digest_stands_in_our_own_table(tmp_path: Path, model: MaskRCNN) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, model, extra={})
    with safe_open(path, framework="pt") as file:
        assert list(json.loads(file.metadata()[KEY]))[:2] == ["crc32", "kind"]


def test_weights_made_nan_in_a_sound_file_are_told_as_such(tmp_path: Path, model: MaskRCNN) -> None:
    """Written by another program, with the metadata as they were: the digest is another too."""
    path, name = tmp_path / "m.safetensors", "backbone.body.conv1.weight"
    save_model(path, model, extra={})
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = read_tensors(path)
    tensors[name][...] = float("nan")
    save_file(tensors, path, metadata=metadata)
    refused(path, rf"digest, and '{name}' holds values that are not finite")
