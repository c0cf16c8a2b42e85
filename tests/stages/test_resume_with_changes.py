"""A training that goes on with other settings."""

from pathlib import Path

import pytest

from tests.command_line import Commands, assign, files_below, small_world, train_repr

GO_ON = "--resume-with-changes"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    small_world(root)
    return root


def test_another_batch_size_is_refused_and_nothing_is_lost(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    """Steps and epochs are counted in batches: step 1 ends elsewhere with another batch."""
    out = tmp_path / "run"
    assert lvistk(*train_repr(world, out), *assign("loop.max_steps=1")).code == 0
    before = files_below(out)
    told = lvistk(*train_repr(world, out), *assign("loop.batch_size=2"), GO_ON).error()
    assert "loop.batch_size: 4 -> 2" in told and "--force" in told and GO_ON not in told
    assert files_below(out) == before
