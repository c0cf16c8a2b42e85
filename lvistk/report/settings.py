"""The stages: when each ran, for how long, on which inputs, with which settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from lvistk.console import seconds
from lvistk.report.gather import StageRecord
from lvistk.report.markup import Section, escape, lead


def stage_section(stages: Sequence[StageRecord]) -> Section | None:
    """One fold-out entry per stage, in the order they ran."""
    known = [stage for stage in stages if stage.manifest]
    if not known:
        return None
    took = sum(stage.manifest.get("seconds") or 0.0 for stage in known)
    text = f"{len(known)} stages, {seconds(took)} together; open one for its settings."
    body = lead(text) + "".join(_entry(stage) for stage in known)
    return Section("stages", "Stages and settings", body)


def _entry(stage: StageRecord) -> str:
    manifest = stage.manifest
    state = "" if manifest.get("state") == "done" else "unfinished"
    took = manifest.get("seconds")
    facts = [
        stage.command,
        state,
        seconds(took) if took else "",
        str(manifest.get("started", ""))[:16].replace("T", " "),
    ]
    shown = "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    parts = [_list("", {k: v for k, v in manifest.get("summary", {}).items() if v is not None})]
    parts.append(_list("inputs", _paths(manifest.get("inputs", {}))))
    settings = manifest.get("settings", {})
    parts.append(_list("settings", {k: v for k, v in settings.items() if not _is_table(v)}))
    parts += [_list(name, _flat(v)) for name, v in settings.items() if _is_table(v)]
    parts.append(_list("versions", manifest.get("versions", {})))
    content = f'<div class="settings">{"".join(parts)}</div>'
    return f"<details><summary><b>{escape(stage.label)}</b>{shown}</summary>{content}</details>"


def _list(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f"<div><dt>{escape(str(key))}</dt><dd>{escape(_text(value))}</dd></div>"
        for key, value in values.items()
    )
    head = f"<h4>{escape(title)}</h4>" if title else ""
    return f"<dl>{head}{rows}</dl>"


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as ``a.b``."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if _is_table(value):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _paths(inputs: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: ", ".join(item["path"] for item in (given if isinstance(given, list) else [given]))
        for name, given in inputs.items()
    }


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return "none" if value is None else str(value)
