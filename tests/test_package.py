"""Wheel and sdist: built, installed into an environment of their own, and used there."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from lvistk import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "lvistk", "pipelines")
BUILD = "from setuptools import build_meta as b; print(b.build_{0}({1!r}))"


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / "docs" / "changelog.md").read_text()
    assert PROJECT["version"] == __version__ == citation["version"]
    assert f"## [{__version__}] - {citation['date-released']}" in changelog
    assert f"lvistk:{__version__}" in (ROOT / "Dockerfile").read_text()


def test_every_dependency_has_its_licence_named() -> None:
    page = (ROOT / "docs" / "licences.md").read_text()
    for text in PROJECT["dependencies"]:
        name = text.partition(">")[0]
        assert f"| {name} |" in page, name


def built(kind: str, source: Path, out: Path) -> Path:
    """The package of a copy of the repository, by the build backend itself: no network is needed."""
    out.mkdir(exist_ok=True)
    code = BUILD.format(kind, str(out))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def copied(to: Path) -> Path:
    for name in SHIPPED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if source.is_dir():
            shutil.copytree(source, to / name, symlinks=True, ignore=ignore)
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to / name)
    return to


@pytest.mark.slow
def test_packages_are_whole_and_work_where_nothing_else_is(tmp_path: Path) -> None:
    sdist = built("sdist", copied(tmp_path / "source"), tmp_path / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = built("wheel", unpacked, tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wanted = [path.relative_to(ROOT) for path in (ROOT / "pipelines").rglob("*.toml")]
    wanted += [Path("pipelines/Snakefile"), Path("pipelines/profiles/slurm/config.yaml")]
    for path in wanted:
        assert f"lvistk/{path}" in names, path
    assert any(name.endswith("licenses/LICENSE") for name in names)

    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def lvistk(*words: str) -> str:
        done = subprocess.run(
            [str(place / "bin" / "lvistk"), *words],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import lvistk; print(lvistk.__file__)"
    where = subprocess.check_output(
        [str(place / "bin" / "python"), "-c", code], cwd=tmp_path, env=clean, text=True
    )
    assert Path(where.strip()).is_relative_to(packages)
    assert lvistk("--version").strip() == f"lvistk {__version__}"
    assert "htc_r50" in lvistk("pipelines")
    assert "14 stages" in lvistk("snakefile", "demo", "--shards", "2")
    lvistk("generate", "data", "--images", "6", "--val-images", "2", "--pool-images", "0")
    assert "categories" in lvistk("inspect", "data/annotations/train.json", "--images", "data")
