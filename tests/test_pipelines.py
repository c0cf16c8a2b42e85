"""Every pipeline that ships is read, complete and flat."""

from pathlib import Path

import pytest

from lvistk.stages.pipeline_file import load_pipeline

FOLDER = Path(__file__).parents[1] / "pipelines"
PIPELINES = sorted(FOLDER.glob("*.toml"))
HEADER = ("# Command", "# Hardware", "# Time", "# Expected")


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_it_loads_and_its_stages_build_on_earlier_ones(path: Path) -> None:
    pipeline = load_pipeline(path)
    seen: set[Path] = set()
    for plan in pipeline.stages:
        needs = [getattr(plan.inputs, n, None) for n in ("model", "init", "detections", "missing")]
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
