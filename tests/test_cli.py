"""The commands as a user meets them: help, version, one-line errors, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from lvistk.cli.commands import app

COMMANDS = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]  # a group
DOCS = Path(__file__).parents[1] / "docs"


def lvistk(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lvistk", *arguments], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_and_option_is_explained(name: str) -> None:
    command = COMMANDS[name]
    assert command.help, f"{name} has no help"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name} is not explained"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_a_page(name: str) -> None:
    assert (DOCS / f"{name}.md").is_file(), f"docs/{name}.md is missing"


def test_help_does_not_import_torch() -> None:
    code = "import sys, lvistk.cli; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train-repr", "--set", "optim.lrr=1"], "did you mean 'lr'?"),
        (["train-repr"], "needs the input 'train': give --train or, in"),
        (["evaluate"], "needs the input 'val': give GROUND_TRUTH or, in"),
        (["evaluate", "a.json"], "(made by lvistk tta-infer): give RESULTS or, in"),
        (["import-weights"], "needs the input 'checkpoint': give CHECKPOINT or, in"),
        (["inspect", "a.json", "--decode"], "--decode measures images: give their folder with"),
        (["run", "none.toml"], "no such pipeline file"),
        (["status", "."], "no stage folders"),
        (["evaluate", "none.json", "none.json"], "none.json: no such file"),
        (["evalute"], "error: lvistk: No such command 'evalute'. Did you mean 'evaluate'?; see"),
        (["evaluate", "--bxes", "a"], "error: lvistk evaluate: No such option: --bxes"),
        (["evaluate", "--bxes", "a"], "--boxes"),
        (["evaluate", "a", "b", "c"], "lvistk evaluate: Got unexpected extra argument"),
        (["compare", "a"], "see lvistk compare --help"),
        (["compare", "a", "b", "--samples", "many"], "'--samples'"),
        (["compare", "a", "b", "--samples"], "'--samples' requires an argument"),
        (["convert", "x", "--out", "y", "--from", "coc"], "'coc' is not one of"),
        (["export", "a", "b"], "Missing option '--as'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = lvistk(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_command_help_is_shown() -> None:
    done = lvistk()
    assert "train-repr" in done.stdout + done.stderr and "error:" not in done.stderr


def test_help_and_version_end_with_0() -> None:
    for arguments in (["--version"], ["--help"], ["evaluate", "-h"]):
        done = lvistk(*arguments)
        assert done.returncode == 0 and "lvistk" in done.stdout
