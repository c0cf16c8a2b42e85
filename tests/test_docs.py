"""Pages name files, tests and settings that exist."""

import ast
import dataclasses
import importlib
import pkgutil
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import lvistk.config
import lvistk.stages.specifications
from lvistk.config.evaluation import EvaluateSettings
from lvistk.config.missing import MissingRule
from lvistk.config.train import AugmentSettings, SamplerSettings, SelfTrainSettings
from lvistk.data.index.defects import DEFECTS
from lvistk.data.store.shard_format import COLUMNS, OPTIONAL
from lvistk.engine.curves import NOT_LOSSES

ROOT = Path(__file__).parents[1]
METHOD = (ROOT / "docs" / "method.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def rows() -> list[list[str]]:
    """The cells of each row of the method's table."""
    lines = [line for line in METHOD.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]][1:]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def functions(path: Path) -> set[str]:
    return {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}


def settings(of: type, prefix: str = "") -> Iterator[str]:
    """Every field below a settings class, by its dotted name."""
    for name, kind in typing.get_type_hints(of).items():
        yield prefix + name
        if dataclasses.is_dataclass(kind):
            yield from settings(typing.cast(type, kind), f"{prefix}{name}.")


def all_settings() -> set[str]:
    packages = (lvistk.config, lvistk.stages.specifications)
    names = [
        module.name
        for package in packages
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    classes = [c for n in names for c in vars(importlib.import_module(n)).values()]
    return {
        name
        for c in classes
        if isinstance(c, type) and dataclasses.is_dataclass(c)
        for name in settings(c)
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_methods_rows_name_what_exists(row: list[str]) -> None:
    _, modules, names, tests, ladder = row
    assert quoted(modules) and quoted(names) and quoted(tests) and quoted(ladder)
    for name in quoted(ladder):
        assert (ROOT / "pipelines" / "ladder" / f"{name}.toml").is_file(), name
    for path in quoted(modules):
        assert (ROOT / "lvistk" / path).is_file(), path
    for test in quoted(tests):
        path, _, name = test.partition("::")
        assert (ROOT / "tests" / path).is_file(), path
        assert name in functions(ROOT / "tests" / path), test
    known = all_settings()
    for name in quoted(names):
        setting = name.split(" = ")[0]
        if setting.endswith(".*"):
            assert any(other.startswith(setting[:-1]) for other in known), setting
        else:
            assert setting in known, setting


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#][^)]*)\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_package_exist(page: Path) -> None:
    """What a page quotes as ``lvistk/...``, ``tests/...`` or ``pipelines/...`` is there.

    Files that docs/extending.md would make are left to its own test.
    """
    if page.name == "extending.md":
        return
    text = page.read_text()
    for path in re.findall(r"`((?:lvistk|tests|pipelines|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


FOREIGN = {"utils.py", "eval_workload.py", "htc-without-semantic_r50_fpn_1x_coco.py"}
"""Files that pages name and that are not ours."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_pages_name_by_their_end_exist(page: Path) -> None:
    """Also ``classifiers/build.py`` or ``rules.py`` alone. The changelog may name what was."""
    if page.name in ("extending.md", "changelog.md"):
        return
    folders = ("lvistk", "tests", "pipelines")
    known = [f"/{path.as_posix()}" for one in folders for path in (ROOT / one).rglob("*.py")]
    for name in set(re.findall(r"`([\w./-]+\.py)\b", page.read_text())) - FOREIGN:
        assert any(path.endswith(f"/{name}") for path in known), name


def test_the_table_of_a_detection_store_lists_every_column() -> None:
    text = (ROOT / "docs" / "artifacts.md").read_text()
    table = text.partition("| dataset |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in quoted(row.split("|")[1])}
    assert named == {*COLUMNS, *OPTIONAL}


DOCUMENTED = {
    "data.md": (AugmentSettings, SamplerSettings),
    "evaluate.md": (EvaluateSettings,),
    "filter-missing.md": (MissingRule,),
    "train-repr.md": (SelfTrainSettings,),
}
"""Pages that speak of every setting of some tables."""


@pytest.mark.parametrize("page", DOCUMENTED)
def test_a_page_speaks_of_every_setting(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    for kind in DOCUMENTED[page]:
        for field in dataclasses.fields(kind):
            named = re.search(rf"\b{field.name}\b", text) or field.name == "seed"
            assert named, f"{page}: {kind.__name__}.{field.name}"


def test_inspect_explains_every_defect() -> None:
    text = (ROOT / "docs" / "inspect.md").read_text().partition("## Defects")[2]
    cells = re.findall(r"^\| (`.*?) \|", text.partition("Training decides")[0], re.MULTILINE)
    assert {name for cell in cells for name in quoted(cell)} == set(DEFECTS)


def test_settings_lists_the_command_of_every_stage() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| `COMMAND` |"))
    assert set(quoted(row)) - {"COMMAND"} == set(lvistk.stages.specifications.STAGES)


def test_numbers_of_a_training_are_named_as_they_are_written() -> None:
    text = (ROOT / "docs" / "train-repr.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| `metrics.jsonl` |"))
    assert NOT_LOSSES - {"step", "epoch"} <= set(quoted(row))


def test_error_lines_that_troubleshooting_explains_exist() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    table = text.partition("| the line holds |")[2].partition("\n\n")[0]
    told = [
        literal
        for path in (ROOT / "lvistk").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (literal := literal_text(node))
    ]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert len(rows) > 10
    for words in [words for cell in rows for words in quoted(cell)]:
        assert any(words in one for one in told), words


def literal_text(node: ast.AST) -> str:
    """A text of the code, ``...`` in place of its values; empty for anything else."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return re.sub(
                r"(\.\.\.)+", "...", "".join(literal_text(part) or "..." for part in parts)
            )
        case _:
            return ""


def defined(path: Path) -> set[str]:
    """Top-level names of a module, and the methods of its classes as ``Class.method``."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return names


def test_the_architecture_names_what_exists() -> None:
    text = " ".join((ROOT / "docs" / "architecture.md").read_text().split())
    pairs = re.findall(r"`([\w.]+)`(?: \(|, )`([\w/]+\.py)`", text)
    assert len(pairs) > 40
    for name, module in pairs:
        path = ROOT / "lvistk" / module
        assert path.is_file(), module
        assert name in defined(path) or (ROOT / "lvistk" / name).is_file(), f"{name} in {module}"


def test_the_architecture_lists_the_rooms_in_order() -> None:
    from tests.test_architecture import ROOMS

    text = (ROOT / "docs" / "architecture.md").read_text()
    table = re.findall(r"^\| ((?:`\w+(?:\.py|/)`(?:, )?)+) \|", text, re.MULTILINE)
    listed = [name.removesuffix(".py").strip("/") for cell in table for name in quoted(cell)]
    assert tuple(listed) == ROOMS
