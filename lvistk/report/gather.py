"""What is on disk about runs: stages with their settings, logs and scores, in the order they ran."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk.artifacts import MANIFEST, find_input, read_manifest
from lvistk.console import read_metrics
from lvistk.errors import UserError

METRICS = "metrics.json"


@dataclass(frozen=True, eq=False)
class StageRecord:
    """One stage folder, or the scores of another detector.

    label: its name on the page
    path: the folder
    manifest: content of ``stage.json``; empty for another detector
    log: rows of ``metrics.jsonl``
    metrics: content of ``metrics.json``
    categories: rows of ``per_category.json``

    A file that the folder lacks gives an empty value.
    """

    label: str
    path: Path
    manifest: dict[str, Any]
    log: list[dict[str, Any]]
    metrics: dict[str, Any]
    categories: list[dict[str, Any]]

    @property
    def command(self) -> str:
        return self.manifest.get("command", "")

    @property
    def is_score(self) -> bool:
        """Whether it holds scores of an evaluation."""
        return any(key in self.metrics for key in ("segm", "bbox"))

    @property
    def scores(self) -> dict[str, float | None]:
        """The mask scores, else the box scores."""
        return self.metrics.get("segm") or self.metrics.get("bbox") or {}

    def inputs(self, name: str) -> list[Path]:
        """Paths of an input that still exist."""
        given = self.manifest.get("inputs", {}).get(name, [])
        items = given if isinstance(given, list) else [given]
        return [path for item in items if (path := find_input(self.path, item)).exists()]


@dataclass(frozen=True, eq=False)
class Run:
    """Stages of one pipeline, or a single one."""

    name: str
    stages: tuple[StageRecord, ...]


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs at ``paths``: folders of stages, stage folders, or ``metrics.json`` files.

    With several runs, labels of stages begin with the run's name. Raises ``UserError`` for any other path.
    """
    names = _distinct_names(paths)
    return [
        _read_run(path, name, prefix=f"{name} / " if len(paths) > 1 else "")
        for path, name in zip(paths, names, strict=True)
    ]


def _read_run(path: Path, name: str, *, prefix: str) -> Run:
    if path.is_file():
        return Run(name, (_foreign(path, name),))
    if (path / MANIFEST).is_file():
        return Run(name, (_read_stage(path, name),))
    folders = sorted(child.parent for child in path.glob(f"*/{MANIFEST}"))
    stages = [_read_stage(folder, prefix + folder.name) for folder in folders]
    stages = [stage for stage in stages if stage.command != "generate"]
    if stages:
        stages.sort(key=lambda stage: str(stage.manifest.get("started", "")))
        return Run(name, tuple(stages))
    if (path / METRICS).is_file():
        return Run(name, (_foreign(path / METRICS, name),))
    raise UserError(f"{path}: no stage folders in here, and no {METRICS}")


def _read_stage(folder: Path, label: str) -> StageRecord:
    log = folder / "metrics.jsonl"
    return StageRecord(
        label=label,
        path=folder,
        manifest=read_manifest(folder),
        log=read_metrics(log) if log.is_file() else [],
        metrics=_read_json(folder / METRICS) or {},
        categories=_read_json(folder / "per_category.json") or [],
    )


def _foreign(path: Path, label: str) -> StageRecord:
    metrics = _read_json(path)
    if not isinstance(metrics, dict) or not any(key in metrics for key in ("segm", "bbox")):
        raise UserError(f"{path}: no scores; a metrics.json holds segm or bbox")
    categories = _read_json(path.with_name("per_category.json")) or []
    return StageRecord(label, path.parent, {}, [], metrics, categories)


def _read_json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: broken JSON: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply; a metrics.json is not") from None


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, after its parent's if two are the same."""
    resolved = [path.resolve() for path in paths]
    named = [p.parent if p.is_file() and p.name == METRICS else p for p in resolved]
    names = [path.name if path.is_dir() else path.stem for path in named]
    return [
        f"{path.parent.name}/{name}" if names.count(name) > 1 else name
        for path, name in zip(named, names, strict=True)
    ]
