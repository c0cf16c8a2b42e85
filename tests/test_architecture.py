"""The rooms of the house: who may import whom, who prints, what stays free of torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lvistk"
ROOMS = (
    "errors",
    "config",
    "whole_file",
    "folders",
    "terminal",
    "console",
    "no_memory",
    "percent",
    "artifacts",
    "distributed",
    "jit",
    "wide",
    "json_numbers",
    "structures",
    "masks",
    "json_input",
    "drawing",
    "losses",
    "data",
    "models",
    "importing",
    "selftrain",
    "evaluation",
    "comparison",
    "report",
    "engine",
    "inference",
    "planning",
    "stages",
    "api",
    "cli",
)
SEALED = {"lvistk.evaluation.results_json": {"read_blocks"}}
"""Rooms within rooms: what others may import of them, from the folder itself and from nowhere below."""
FORBIDDEN = {("models", "data"), ("engine", "data"), ("engine", "evaluation")}
TORCH_FREE = (
    "lvistk",
    "lvistk.api.scores",
    "lvistk.api.training",
    "lvistk.api.detections",
    "lvistk.cli",
    "lvistk.planning.plan",
    "lvistk.planning.survey",
    "lvistk.planning.write",
    "lvistk.stages.pipelines.pipeline_file",
    "lvistk.stages.pipelines.one_stage",
    "lvistk.stages.pipelines.project",
    "lvistk.stages.pipelines.snakefile",
    "lvistk.stages.specifications",
    "lvistk.artifacts",
    "lvistk.console",
    "lvistk.structures.categories",
    "lvistk.masks.rle",
    "lvistk.structures.detections",
    "lvistk.masks.polygons",
    "lvistk.data.index.lvis_json",
    "lvistk.data.index.annotation_index",
    "lvistk.data.store.detection_store",
    "lvistk.data.pool.open_images",
    "lvistk.selftrain.missing",
    "lvistk.stages.commands.compare",
    "lvistk.stages.evaluate",
    "lvistk.stages.filter_missing",
    "lvistk.stages.commands.inspect",
    "lvistk.stages.commands.export",
    "lvistk.stages.commands.convert",
    "lvistk.stages.commands.report",
)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lvistk."):
            found.add(node.module)
        elif isinstance(node, ast.ImportFrom) and node.module == "lvistk":
            found |= {f"lvistk.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("lvistk.")}
    return found


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_upwards(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for module in imports(path):
        other = room(module)
        if other in ("", "__version__"):
            continue
        assert other in ROOMS, f"{module} is in no room of the design"
        assert ROOMS.index(other) <= ROOMS.index(own), f"{own} must not import {module}"
        assert (own, other) not in FORBIDDEN, f"{own} must not import {module}"


@pytest.mark.parametrize("folder", SEALED)
def test_sealed_folders_have_one_face(folder: str) -> None:
    inside = PACKAGE.parent / folder.replace(".", "/")
    assert inside.is_dir()
    for path in sources():
        if inside in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith(f"{folder}."), f"{path}: {node.module} is sealed"
                if node.module == folder:
                    assert {alias.name for alias in node.names} <= SEALED[folder], path
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith(folder) for alias in node.names), path


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_console_prints(path: Path) -> None:
    if path.name == "console.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        assert not (called and node.func.id == "print"), f"{path}:{node.lineno} prints"


def test_torch_is_not_imported_where_it_is_not_needed() -> None:
    files = {module: PACKAGE.parent / module.replace(".", "/") for module in TORCH_FREE}
    present = [m for m, p in files.items() if p.with_suffix(".py").is_file() or p.is_dir()]
    code = (
        "import importlib, sys\n"
        f"for name in {present!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
