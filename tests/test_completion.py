"""What a shell is given to complete a command line with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
[stage.first]
command = "train-repr"
[stage.second]
command = "train-repr"
[stage.fine]
command = "finetune"
"""


def completed(line: str, folder: Path) -> list[str]:
    """The choices that bash gets at the end of ``line``."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_LVISTK_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "lvistk"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("lvistk train", {"train-repr"}),
        ("lvistk settings tta", {"tta-infer"}),
        ("lvistk pipelines htc_r5", {"htc_r50"}),
        ("lvistk train-repr --set optim.warmup_s", {"optim.warmup_steps="}),
        ("lvistk train-repr --set loop.precision=b", {"loop.precision=bf16"}),
        (
            "lvistk finetune --set model.classifier.group_softmax.e",
            {"model.classifier.group_softmax.edges="},
        ),
        ("lvistk train-repr --config file.toml --stage ", {"first", "second"}),
        ("lvistk run file.toml --only f", {"first", "fine"}),
        ("lvistk run file.toml --set fine.optim.l", {"fine.optim.lr=", "fine.optim.lr_batch="}),
        ("lvistk run none.toml --only f", set()),
    ],
)
def test_choices(line: str, choices: set[str], tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text(FILE)
    assert set(completed(line, tmp_path)) == choices
