"""A disk that fills up: one line, what was whole stays, and with room the same command goes on."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvistk.artifacts import read_manifest
from tests.command_line import SIX, Commands, files_below, small_world, tta_infer

GROWING = (8, 16, 32, 64, 128, 256, 512, 2048, 32768, 131072)
"""Sizes of the disk in kB."""
TRAININGS = ("train-repr", "finetune")
"""Each attempt runs a step of a training, which takes a second of a quiet core: every third size."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    small_world(root)
    return root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, as small as ``resize`` makes it."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    size = f"remount,size={kilobytes}k"
    subprocess.run(["mount", "-o", size, str(disk)], check=True, capture_output=True)


@pytest.mark.parametrize("name", list(SIX))
def test_a_full_disk(name: str, world: Path, disk: Path, lvistk: Commands) -> None:
    """Grown little by little, every attempt is one line, until there is room."""
    if not (world / "seen").is_dir():
        assert lvistk(*tta_infer(world, world / "seen")).code == 0
    before = files_below(world)
    for kilobytes in GROWING[::3] if name in TRAININGS else GROWING:
        resize(disk, kilobytes)
        done = lvistk(*SIX[name](world, disk / "out"))
        if done.code == 0:
            break
        assert str(disk) in done.error() and "full" in done.error(), (kilobytes, done)
        assert not list(disk.rglob("*.part"))
    assert read_manifest(disk / "out")["state"] == "done" and kilobytes > 8
    assert before.items() <= files_below(world).items()
