"""How a stage folder stands to a run that is asked for: done, unfinished, different, damaged."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lvistk.artifacts.fingerprints import same_input
from lvistk.artifacts.manifest import MANIFEST, broken_outputs, read_manifest


@dataclass(frozen=True)
class Rules:
    """How settings are compared with those of a folder.

    older: a table that an earlier release wrote, as today's would be.
    operational: dotted names of settings that cannot change the result; they never count.
    changeable: dotted names of settings that change only the rest of a run, and may with
    ``--resume-with-changes``.
    kept: dotted names of settings that do not count and keep the value that the run began with.
    reopening: dotted names of settings that do not count, but when set ask a finished run for one more
    output.
    uncounted: names of inputs that cannot change the result.
    """

    older: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    operational: tuple[str, ...] = ()
    changeable: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    reopening: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A run that is asked for: command, settings and inputs (``describe_inputs``) as JSON values."""

    command: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Standing:
    """How a folder stands to a run that is asked for.

    different: ``name: old -> new`` of what refuses. changed: the same of changeable settings.
    broken: outputs of a finished run that are missing or have changed. incomplete: an output is asked
    for that the finished run did not write.
    """

    state: Literal["none", "running", "done"]
    different: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    broken: Mapping[str, list[Path]] = field(default_factory=dict)
    incomplete: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state == "done" and self.text() == "done"

    def text(self) -> str:
        """One word or two for ``lvistk status``."""
        for line in (*self.different, *self.changed):
            kind, *rest = _name(line).split(".")
            return f"stale: {rest[0]}" if kind == "inputs" else "stale: settings"
        if self.broken:
            return f"damaged: {next(iter(self.broken))}"
        if self.incomplete:
            return "unfinished"
        return {"none": "not run", "running": "unfinished", "done": "done"}[self.state]


def standing(path: Path, wanted: Wanted) -> Standing:
    """What ``run`` and ``status`` both go by: how the folder ``path`` stands to ``wanted``."""
    if not (path / MANIFEST).is_file():
        return Standing("none")
    manifest = read_manifest(path)
    lines = _differences(manifest, wanted)
    changed = [line for line in lines if _is_marked(line, wanted.rules.changeable)]
    different = tuple(line for line in lines if line not in changed)
    broken = broken_outputs(path, manifest) if manifest["state"] == "done" else {}
    more = manifest["state"] == "done" and _asks_for_more(manifest, wanted)
    return Standing(manifest["state"], different, tuple(changed), broken, more)


def _asks_for_more(manifest: Mapping[str, Any], wanted: Wanted) -> bool:
    old = wanted.rules.older(manifest["settings"])
    names = wanted.rules.reopening
    return any(wanted.settings.get(name) and not old.get(name) for name in names)


def _differences(manifest: Mapping[str, Any], wanted: Wanted) -> list[str]:
    rules, normal = wanted.rules, json.loads(json.dumps(dict(wanted.settings)))
    lines = differences(manifest["command"], wanted.command, "command")
    settings = differences(rules.older(manifest["settings"]), normal, "settings")
    lines += [line for line in settings if not _is_marked(line, rules.operational)]
    return lines + _input_differences(manifest["inputs"], wanted)


def _input_differences(old: Mapping[str, Any], wanted: Wanted) -> list[str]:
    lines = []
    for name in sorted({*old, *wanted.inputs} - {*wanted.rules.uncounted}):
        before, now = _as_list(old.get(name)), _as_list(wanted.inputs.get(name))
        if len(before) != len(now):
            lines.append(f"inputs.{name}: {_paths(before)} -> {_paths(now)}")
            continue
        lines += [
            f"inputs.{name}.fingerprint: {a['fingerprint']} -> {b['fingerprint']}"
            for a, b in zip(before, now, strict=True)
            if not same_input(a, b)
        ]
    return lines


def _as_list(described: Any) -> list[Any]:
    return described if isinstance(described, list) else [] if described is None else [described]


def _paths(items: list[Any]) -> str:
    return ", ".join(item["path"] for item in items) or "none"


def _is_marked(line: str, names: tuple[str, ...]) -> bool:
    name = _name(line).removeprefix("settings.")
    return any(name == one or name.startswith((f"{one}.", f"{one}[")) for one in names)


def _name(line: str) -> str:
    return line.partition(": ")[0]


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """``name: old -> new`` for every leaf that differs between two nested tables."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines = []
        for key in sorted({*old, *new}):
            where = f"{prefix}.{key}" if prefix else str(key)
            lines += differences(old.get(key), new.get(key), where)
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for line in differences(a, b, f"{prefix}[{i}]")
        ]
    return [] if old == new else [f"{prefix}: {old} -> {new}"]
