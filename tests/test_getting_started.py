"""The newcomer's page: every command of it runs, in order, in an empty folder."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import Commands

PAGE = Path(__file__).parents[1] / "docs" / "getting-started.md"
BLOCK = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
SMALLER = {"--images 400": "--images 24", "--val-images 80": "--val-images 6", "256": "96"}
"""What makes the drawn data set small enough for a minute."""


def commands() -> list[str]:
    lines = [line for block in BLOCK.findall(PAGE.read_text()) for line in block.splitlines()]
    return [line for line in lines if line.startswith("lvistk ")]


@pytest.mark.slow
def test_each_command_runs_on_a_smaller_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lvistk: Commands
) -> None:
    folder = tmp_path / "getting-started"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert len(commands()) >= 7
    for line in commands():
        for usual, small in SMALLER.items():
            line = line.replace(usual, small)
        done = lvistk(*shlex.split(line)[1:])
        assert done.code == 0, (line, done)
        if line.startswith("lvistk init"):
            file = folder / "lvistk.toml"
            text = re.sub(r"^epochs = \d+", "epochs = 1", file.read_text(), flags=re.MULTILINE)
            file.write_text(text)
    assert (folder / "runs/getting-started/report.html").is_file()


@pytest.mark.slow
def test_the_page_as_it_is(tmp_path: Path) -> None:
    """Just so, in processes of their own, within half an hour whatever else the machine does."""
    folder = tmp_path / "getting-started"
    folder.mkdir()
    started = time.monotonic()
    for line in commands():
        command = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)
    assert time.monotonic() - started < 30 * 60
