"""A stage's command line read without Typer gives what Typer gives, or is left to it."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from lvistk.cli.commands import app
from lvistk.cli.stage_line import read_plain
from lvistk.stages.specifications import STAGES

COMMANDS = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]  # a group
PLAIN = (
    "train-repr",
    "train-repr --train a.json --train b.json --train-images=images -o out --device cuda:1",
    "train-repr --set optim.lr=0.1 -s loop.epochs=2 --force --resume-with-changes --set=seed=3",
    "finetune --config run.toml --stage second --model runs/a --set optim.lr=-1",
    "filter-missing -c demo.toml --detections a --train b --out=c=d",
    "pseudo-label --source openimages --pool images --exclude a --exclude b",
    "evaluate gt.json results.json",
    "evaluate gt.json --out runs/e results.json --boxes b.json --boxes again.json",
    "evaluate --set curves=true gt.json",
    "import-weights --drop a. --drop b. --toolbox auto model.pth",
    "evaluate 'a file.json' ''",
    "predict a.jpg --model m b.jpg 'c/*.jpg' --tta --min-score .25 --pictures 5 --category cat",
    "predict --csv a.jpg --masks-for results.json",
)
FOR_TYPER = (
    "evaluate --help",
    "evaluate a b -h",
    "evaluate a b c",
    "evaluate a --bxes b",
    "evaluate a b -oc",
    "evaluate a b -o=c",
    "evaluate a b --out",
    "evaluate a b --out --force",
    "evaluate a b --force=1",
    "evaluate -- a b",
    "evaluate a -",
    "evaluate --resume-with-changes a",
    "filter-missing --device cpu",
    "filter-missing a",
    "predict a.jpg --min-score low",
    "predict a.jpg --pictures 1.5",
)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """What was given: an option that may be repeated is empty or None if it was not."""
    return {name: value for name, value in values.items() if value not in (None, [], ())}


@pytest.mark.parametrize("line", PLAIN)
def test_it_is_read_as_typer_reads_it(line: str) -> None:
    name, *words = shlex.split(line)
    plain = read_plain(STAGES[name], words)
    assert plain is not None
    assert plain.keys() == COMMANDS[name].make_context(name, list(words)).params.keys()
    assert given(plain) == given(COMMANDS[name].make_context(name, list(words)).params)


@pytest.mark.parametrize("line", FOR_TYPER)
def test_it_is_left_to_typer(line: str) -> None:
    name, *words = shlex.split(line)
    assert read_plain(STAGES[name], words) is None


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (
            ("evaluate", "none.json", "none.json"),
            {"typer", "rich", "pydantic", "importlib.metadata"},
        ),
        (("train-repr",), {"typer", "rich", "pydantic"}),
        (("--help",), {"rich", "pydantic", "numpy"}),
        (("status", "nowhere"), {"rich", "numpy"}),
    ],
)
def test_start_imports_little(words: tuple[str, ...], without: set[str], tmp_path: Path) -> None:
    """``without``: each takes 0.02 to 0.2 s to import."""
    code = (
        "import sys\n"
        "from lvistk.cli import main\n"
        f"sys.argv = ['lvistk', *{words!r}]\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        f"assert not {without!r} & set(sys.modules), {without!r} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
