"""Tables of names and values into frozen settings, refusing what is unknown."""

import dataclasses
import difflib
import math
import os
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lvistk.config.ranges import fault, range_text, type_text
from lvistk.errors import UserError

Settings = TypeVar("Settings")
MOST_NESTED = 20
"""Levels of tables and lists in a TOML file."""
SHIPPED = "lvistk:"
"""What names of files that ship with the package begin with."""
ASSETS = Path(__file__).parents[1] / "assets"
GONE = {"EvaluateSettings": ("engine",)}
"""Settings of earlier releases, by class, that chose between equal results."""


def update(settings: Settings, table: Mapping[str, Any], *, where: str) -> Settings:
    """A copy of ``settings`` (a frozen dataclass) with the values of ``table``, checked field by field.

    ``where`` names the origin in errors (``demo.toml [stage.finetune]``). An unknown key, a value of
    the wrong type or outside its choices raises ``UserError`` with the nearest name or the mend.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}  # pyright: ignore[reportArgumentType]  # a dataclass instance
    hints = typing.get_type_hints(type(settings), include_extras=True)
    changes: dict[str, Any] = {}
    for key, value in _present_names(type(settings), table).items():
        if key not in fields:
            raise UserError(f"{where}: unknown setting '{key}'{nearest(key, fields)}")
        current = getattr(settings, key)
        here = f"{where} {key}"
        overridden = fields[key].metadata.get("overrides")
        if overridden is not None:
            changes[key] = merge(current, _renamed(overridden(), _require_table(value, here)))
            update(overridden(), changes[key], where=here)
        elif dataclasses.is_dataclass(current):
            changes[key] = update(current, _require_table(value, here), where=here)
        else:
            changes[key] = _leaf(value, hints[key], here)
    return dataclasses.replace(settings, **changes)  # pyright: ignore[reportArgumentType, reportCallIssue]  # as above


def _present_names(kind: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """``table`` with settings under the names that they have now; of two names for one the later counts.

    A field whose metadata holds ``was`` had that name in an earlier release; files of that time are read.
    A table whose ``was`` is ``eql_*`` was no table then: ``eql.beta`` was called ``eql_beta``.
    Settings that no longer exist and never changed a result (GONE) are left out.
    """
    gone = GONE.get(kind.__name__, ())
    present: dict[str, Any] = {}
    for key, value in table.items():
        if key not in gone:
            present = merge(present, _under_present_name(kind, key, value))
    return present


def _under_present_name(kind: type, key: str, value: Any) -> dict[str, Any]:
    for field in dataclasses.fields(kind):
        was = field.metadata.get("was", "")
        if key == was:
            return {field.name: value}
        if was.endswith("*") and key.startswith(was[:-1]):
            inner = key.removeprefix(was[:-1])
            if inner in _all_names(typing.get_type_hints(kind)[field.name]):
                return {field.name: {inner: value}}
    return {key: value}


def _all_names(kind: type) -> set[str]:
    """Names of settings, today's and earlier ones."""
    fields = dataclasses.fields(kind)
    return {f.name for f in fields} | {f.metadata["was"] for f in fields if "was" in f.metadata}


def older_table(settings: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """A table that an earlier release wrote, as ``to_table`` writes it now.

    Renamed settings have today's names, those that are gone are left out, and those that joined since have
    their values of ``settings``, the defaults. A table of changes to other settings is not filled in: a
    missing key means another thing there.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}
    present: dict[str, Any] = {}
    for name, value in _present_names(type(settings), table).items():
        default = getattr(settings, name, None)
        overridden = fields[name].metadata.get("overrides") if name in fields else None
        if isinstance(value, Mapping) and overridden is not None:
            present[name] = _renamed(overridden(), value)
        elif isinstance(value, Mapping) and dataclasses.is_dataclass(default):
            present[name] = older_table(default, value)
        else:
            present[name] = value
    joined = {name: value for name, value in to_table(settings).items() if name not in present}
    return {**present, **{k: v for k, v in joined.items() if "overrides" not in fields[k].metadata}}


def _renamed(settings: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of changes to ``settings`` under today's names."""
    return {
        name: _renamed(getattr(settings, name), value)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(getattr(settings, name, None))
        else value
        for name, value in _present_names(type(settings), table).items()
    }


def marked(settings: Any, mark: str, prefix: str = "") -> tuple[str, ...]:
    """Dotted names of the settings whose field metadata hold ``mark``, at every depth."""
    names: list[str] = []
    for field in dataclasses.fields(settings):
        value, name = getattr(settings, field.name), prefix + field.name
        if mark in field.metadata:
            names.append(name)
        elif dataclasses.is_dataclass(value):
            names += marked(value, mark, f"{name}.")
    return tuple(names)


def nearest(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """``; did you mean 'x'?``, or the list of known names where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(sorted(known))}"


def to_table(settings: Any) -> dict[str, Any]:
    """A settings dataclass as plain JSON values: paths as strings, tuples as lists.

    JSON has no infinity (the open end of a view's valid range): it becomes the string ``inf``.
    """
    return _finite(msgspec.to_builtins(settings, enc_hook=_encode_path))


def from_table(cls: type[Settings], table: Mapping[str, Any], *, where: str) -> Settings:
    """The settings that ``to_table`` wrote."""
    return update(cls(), {k: v for k, v in table.items() if v is not None}, where=where)


def apply_overrides(settings: Settings, overrides: Mapping[str, Any], *, where: str) -> Settings:
    """``settings`` with a table of changes, as ``finetune`` changes the stage 1 model's."""
    return update(settings, overrides, where=where)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """``["optim.lr=0.01", "mask.loss=balanced"]`` as a nested table.

    Values are TOML; what is no TOML value is a string.
    """
    table: dict[str, Any] = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise UserError(f"--set {text}: write it as --set name.of.setting=value")
        if len(keys) > MOST_NESTED:
            raise UserError(f"--set {text[:40]}...: no setting has {len(keys)} levels")
        node = table
        for key in keys[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {text}: '{key}' was given a plain value before")
        node[keys[-1]] = _toml_value(value.strip())
    return table


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a table; a missing or broken file is a ``UserError`` naming the line."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such pipeline file") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # UnicodeDecodeError, TOMLDecodeError, huge numbers
        raise UserError(f"{path}: not valid TOML: {error}") from None
    if (deepest := _depth(table)) > MOST_NESTED:
        raise UserError(
            f"{path}: tables are nested {deepest} deep; settings need at most {MOST_NESTED}"
        )
    return table


def _depth(table: Any) -> int:
    """How deep tables and lists are nested, without recursion."""
    level, depth = [table], 0
    while level:
        depth += 1
        inner = [one for one in level if isinstance(one, dict | list)]
        level = [v for one in inner for v in (one.values() if isinstance(one, dict) else one)]
    return depth


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _require_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected a table of settings, got {_shown(value)}")
    return value


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``changes``: tables key by key at every depth, other values whole."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        both_tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both_tables else value  # pyright: ignore[reportArgumentType]  # checked above
    return merged


def _leaf(value: Any, hint: Any, where: str) -> Any:
    if isinstance(value, str) and hint == tuple[Path, ...]:
        value = [value]
    try:
        converted = msgspec.convert(value, hint, dec_hook=_decode_path)
        wrong = fault(converted, hint)
    except (msgspec.ValidationError, OverflowError) as error:
        raise UserError(
            f"{where} = {_shown(value)} does not fit; {_mend(hint, str(error))}"
        ) from None
    if wrong:
        raise UserError(f"{where} = {_shown(value)} does not fit; it {wrong}")
    return converted


def _mend(hint: Any, fault_text: str) -> str:
    """What would fit, by the fault that msgspec found: another type, or another value of it."""
    allowed = range_text(hint)
    if typing.get_origin(hint) is typing.Literal:
        return f"choose {type_text(hint)}"
    if not allowed or ", got " in fault_text or "enum" in fault_text:
        return f"give {type_text(hint)}" + (f", {allowed}" if allowed else "")
    return f"range: {allowed}"


def _shown(value: Any) -> str:
    """A value as an error quotes it, cut where it is long; Python refuses to print huge integers."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def expanded(path: str | Path) -> Path:
    """``path`` with ``~`` and ``$VARIABLES`` replaced as a shell does; a file of that very name comes first.

    ``lvistk:NAME`` is a file that ships with lvistk.

    Raises ``UserError`` for a variable that is not set, for ``~`` of a user without a home folder, and for a
    file that does not ship.
    """
    text = str(path)
    if text.startswith(SHIPPED) and not Path(text).exists():
        return _shipped(text)
    if not (text.startswith("~") or "$" in text) or Path(text).exists():
        return Path(path)
    filled = os.path.expandvars(text)
    unset = re.search(r"\$(\w+|\{[^}]*\})", filled)
    if unset:
        raise UserError(
            f"{text}: the variable {unset[0]} is not set; set it or write the path itself"
        )
    try:
        return Path(filled).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: there is no such home folder; write the path itself") from None


def shipped_name(path: Path) -> str | None:
    """``lvistk:NAME`` of a file that ships with lvistk, wherever that is installed; None for others."""
    return f"{SHIPPED}{path.stem}" if path.parent == ASSETS else None


def _shipped(text: str) -> Path:
    files = {f"{SHIPPED}{file.stem}": file for file in sorted(ASSETS.glob("*.safetensors"))}
    if text not in files:
        raise UserError(f"{text}: no such file ships with lvistk; {' and '.join(files)} do")
    return files[text]


def _decode_path(kind: type, value: Any) -> Any:
    if issubclass(kind, Path) and isinstance(value, str | Path):
        return expanded(value)
    raise msgspec.ValidationError(f"Expected a path, got {value!r}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _encode_path(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise UserError(f"a setting of type {type(value).__name__} cannot be written")
