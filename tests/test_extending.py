"""The worked examples of docs/extending.md run as they are printed, section by section."""

import re
import sys
import types
from pathlib import Path

import pytest

from tests.models import build_small

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SECTIONS = PAGE.read_text().split("\n## ")[1:]


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module ``examples`` of the page: a small model with what it learns from."""
    module = types.ModuleType("examples")
    vars(module).update(
        small_model=lambda: build_small.small_model(),
        small_batch=lambda: build_small.some_batch(),
        small_targets=lambda: [build_small.some_targets(n, seed=n) for n in (4, 2)],
    )
    monkeypatch.setitem(sys.modules, "examples", module)


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0])
def test_a_section_runs(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert blocks
    names: dict[str, object] = {"__name__": "extending"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_every_section_has_a_table_of_files() -> None:
    """Files that a section changes exist, but for those that it says are new."""
    for section in SECTIONS:
        rows = re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE)
        assert rows, section.splitlines()[0]
        for files, change in rows:
            for path in re.findall(r"`([^`]+)`", files):
                if not change.startswith("new"):
                    assert (PAGE.parents[1] / path).exists(), path
