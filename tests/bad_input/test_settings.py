"""Settings, folders and devices that cannot be: one line, and exit code 2."""

from pathlib import Path

import pytest
import torch

from tests.bad_input.spoil import IMAGE, READ_IMAGES
from tests.command_line import SIX, Commands, files_below


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
    for config in (world, tmp_path / "none.toml", broken, world / IMAGE):
        told = lvistk(*SIX[name](world, tmp_path / "out"), "--config", config).error()
        assert str(config) in told


@pytest.mark.parametrize("name", READ_IMAGES)
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
            assert "give another" in told or "choose another --out" in told
    assert before.items() <= files_below(tmp_path).items()
