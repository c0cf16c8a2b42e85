"""Every pipeline that ships is read, complete and flat."""

from pathlib import Path

import pytest

from lvistk import artifacts
from lvistk.stages.pipeline_file import load_pipeline
from tests.command_line import Commands

FOLDER = Path(__file__).parents[1] / "pipelines"
PIPELINES = sorted(FOLDER.glob("*.toml"))
HEADER = ("# Command", "# Hardware", "# Time", "# Expected")


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_it_loads_and_its_stages_build_on_earlier_ones(path: Path) -> None:
    pipeline = load_pipeline(path)
    seen: set[Path] = set()
    for plan in pipeline.stages:
        given = [getattr(plan.inputs, n, None) for n in ("model", "init", "detections", "missing")]
        needs = [one for value in given for one in (value if isinstance(value, tuple) else [value])]
        for needed in needs:
            if needed is not None and needed.is_relative_to(pipeline.out):
                assert needed in seen, f"{plan.name} needs {needed} before it exists"
        seen.add(plan.out)
    assert pipeline.stages[-1].command == "evaluate"


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_it_opens_with_its_header(path: Path) -> None:
    text = path.read_text()
    for line in HEADER:
        assert line in text.partition("\n\n")[0], f"{path.name} has no line '{line}'"
    assert f"pipelines/{path.name}" in text or path.is_symlink()


def test_shipped_pipelines_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lvistk: Commands
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = lvistk("pipelines").out
    assert all(any(path.stem in line for line in listed) for path in PIPELINES)
    assert load_pipeline(Path("htc_r50")) == load_pipeline(FOLDER / "htc_r50.toml")
    assert any("round1" in line for line in lvistk("status", "htc_r50").out)
    assert lvistk("run", "htc_r5").error().endswith("did you mean 'htc_r50'?")
    assert lvistk("pipelines", "htc_r50").code == 0
    assert Path("htc_r50.toml").read_bytes() == (FOLDER / "htc_r50.toml").read_bytes()
    assert "is there already" in lvistk("pipelines", "htc_r50").error()


def test_the_package_holds_the_pipelines() -> None:
    """The folder that package data are taken from is the one of the repository, not a copy."""
    inside = Path(artifacts.__file__).parents[1] / "pipelines"
    assert inside.resolve() == FOLDER.resolve()
