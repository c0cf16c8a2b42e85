"""Stores and results that are none, cut short or wrong: one line, and exit code 2."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from tests.bad_input.spoil import cut
from tests.command_line import SIX, Commands, evaluate, filter_missing


def shard_of(world: Path) -> Path:
    return world / "seen" / "detections" / "00001.h5"


@pytest.mark.parametrize("name", ["filter-missing", "evaluate"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_store_cut_short(
    name: str, share: float, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    cut(shard_of(world), share)
    told = lvistk(*SIX[name](world, tmp_path / "out")).error()
    assert f"{world / 'seen'}: its output detections" in told and "run that stage again" in told


def test_a_store_that_is_none(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    for wrong in (world / "train.json", world / "train2017"):
        command = filter_missing(world, tmp_path / "out")
        assert str(wrong) in lvistk(*command, "--detections", wrong).error()


def results(world: Path, change: Callable[[list[Any]], Any]) -> Path:
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
        (lambda table: [row["segmentation"].update(counts="!") for row in table], "RLE"),
    ],
    ids=["NaN", "other data set", "no category", "no RLE"],
)
def test_results_that_are_wrong(
    change: Callable[[list[Any]], Any], words: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    file = results(world, change)
    command = evaluate(world, tmp_path / "out")
    command[2] = file
    told = lvistk(*command).error()
    assert str(file) in told and words in told


def test_results_cut_short(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    file = results(world, lambda table: None)
    cut(file)
    command = evaluate(world, tmp_path / "out")
    command[2] = file
    told = lvistk(*command).error()
    assert str(file) in told


def test_gt_and_results_exchanged(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    command = evaluate(world, tmp_path / "out")
    file = results(world, lambda table: None)
    command[1], command[2] = file, command[1]
    told = lvistk(*command).error()
    assert str(world / "train.json") in told and "the ground truth comes first" in told


@pytest.mark.parametrize("name", ["filter-missing", "evaluate", "export"])
def test_a_store_with_a_flipped_byte(
    name: str, world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """In the middle of the scores: nothing but the digest can tell."""
    with h5py.File(shard_of(world)) as file:
        offset = file["score"].id.get_offset() + 1
    data = bytearray(shard_of(world).read_bytes())
    data[offset] ^= 0x10
    shard_of(world).write_bytes(data)
    export = ["export", world / "seen", tmp_path / "out", "--as", "bbox"]
    told = lvistk(*(export if name == "export" else SIX[name](world, tmp_path / "out"))).error()
    if name == "export":  # no stage: it reads the folder as a store
        assert str(shard_of(world)) in told and "not what was written" in told
    else:
        assert f"{world / 'seen'}: its output detections" in told
