"""A small world that is sound, and a copy of it to break."""

import shutil
from pathlib import Path

import pytest

from tests.command_line import Commands, small_world, tta_infer


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images, annotations and a model, all sound."""
    root = tmp_path_factory.mktemp("drawn")
    small_world(root)
    return root


@pytest.fixture
def world(drawn: Path, tmp_path: Path, lvistk: Commands) -> Path:
    """A copy to break, with detections of its own."""
    if not (drawn / "seen").is_dir():
        assert lvistk(*tta_infer(drawn, drawn / "seen")).code == 0
    return Path(shutil.copytree(drawn, tmp_path / "world"))
