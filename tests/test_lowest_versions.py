"""The lower bounds of ``pyproject.toml`` hold: wheel and commands with the lowest version of each package."""

import os
import re
import subprocess
import venv
from pathlib import Path

import pytest

from tests.stages.tiny_run import PIPELINE, tiny_pipeline
from tests.test_package import PROJECT, built, copied
from tests.test_snakefile import MORE

EXTRAS = ("timm", "tensorboard", "onnx")
TIMM = (
    *("model.backbone.library=timm", "model.backbone.name=resnet10t", "model.backbone.width=1.0"),
    "model.backbone.norm=frozen_bn",
)


def bounds() -> list[tuple[str, str]]:
    """Name and lower bound of what lvistk and its extras need."""
    texts = [*PROJECT["dependencies"]]
    for extra in EXTRAS:
        texts += PROJECT["optional-dependencies"][extra]
    return [(name, bound) for name, _, bound in (text.partition(">=") for text in texts)]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def lowest(python: Path, name: str, bound: str) -> str:
    """``name==version`` of the lowest release that the index offers from ``bound`` on."""
    done = subprocess.run(
        [python, "-m", "pip", "index", "versions", name], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    offered = re.search(r"Available versions: (.*)", done.stdout)
    assert offered, done.stdout
    releases = [one for one in offered[1].split(", ") if re.fullmatch(r"[\d.]+", one)]
    return f"{name}==" + min((r for r in releases if numbers(r) >= numbers(bound)), key=numbers)


@pytest.mark.slow  # downloads about 3 GB, and takes 7 GB of disk
def test_the_whole_pipeline_runs_with_the_lowest_versions(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pins = [lowest(python, name, bound) for name, bound in bounds()]
    wheel = built("wheel", copied(tmp_path / "source"), tmp_path / "dist")
    install = [python, "-m", "pip", "install", "-q", "--no-cache-dir"]
    subprocess.run([*install, f"{wheel}[{','.join(EXTRAS)}]", *pins], check=True)
    run_with(python, tmp_path / "run")


def run_with(python: Path, root: Path) -> None:
    """Data, a pipeline of every kind of stage, a timm backbone, an ONNX graph, a report."""
    tiny_pipeline(root)
    (root / "all.toml").write_text((PIPELINE + MORE).format(root=root))
    timm = [word for text in (*TIMM, "loop.max_steps=1") for word in ("--set", text)]
    runs = root / "runs"
    commands = [
        ["doctor"],
        ["inspect", root / "train.json", "--images", root],
        ["run", root / "all.toml", "--device", "cpu"],
        ["run", root / "all.toml", "--only", "first", *timm, "--out", root / "timm"],
        ["export", runs / "detect-all", root / "results.json", "--as", "segm"],
        ["export", runs / "second", root / "model.onnx", "--as", "onnx", "--size", "64x96"],
        ["report", runs],
    ]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for words in commands:
        command = [python, "-W", "error::DeprecationWarning:lvistk", "-m", "lvistk", *words]
        done = subprocess.run(
            [str(word) for word in command], cwd=root, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
