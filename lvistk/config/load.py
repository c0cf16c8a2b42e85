"""Tables of names and values into frozen settings, refusing what is unknown."""

import dataclasses
import difflib
import math
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lvistk.errors import UserError

Settings = TypeVar("Settings")
GONE = {"EvaluateSettings": ("engine",)}
"""Settings of earlier releases, by class, that chose between equal results."""


def update(settings: Settings, table: Mapping[str, Any], *, where: str) -> Settings:
    """A copy of ``settings`` (a frozen dataclass) with the values of ``table``, checked field by field.

    ``where`` names the origin in errors (``demo.toml [stage.finetune]``). An unknown key, a value of
    the wrong type or outside its choices raises ``UserError`` with the nearest name or the mend.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}  # pyright: ignore[reportArgumentType]  # a dataclass instance
    hints = typing.get_type_hints(type(settings))
    changes: dict[str, Any] = {}
    for key, value in _present_names(type(settings), table).items():
        if key not in fields:
            raise UserError(f"{where}: unknown setting '{key}'{nearest(key, fields)}")
        current = getattr(settings, key)
        here = f"{where} {key}"
        overridden = fields[key].metadata.get("overrides")
        if overridden is not None:
            changes[key] = _merge(current, _require_table(value, here))
            update(overridden(), changes[key], where=here)
        elif dataclasses.is_dataclass(current):
            changes[key] = update(current, _require_table(value, here), where=here)
        else:
            changes[key] = _leaf(value, hints[key], here)
    return dataclasses.replace(settings, **changes)  # pyright: ignore[reportArgumentType, reportCallIssue]  # as above


def _present_names(kind: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """``table`` with settings under the names that they have now.

    A field whose metadata holds ``was`` had that name in an earlier release; files of that time are read.
    Settings that no longer exist and never changed a result (GONE) are left out.
    """
    fields = dataclasses.fields(kind)
    renamed = {field.metadata["was"]: field.name for field in fields if "was" in field.metadata}
    gone = GONE.get(kind.__name__, ())
    return {renamed.get(key, key): value for key, value in table.items() if key not in gone}


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
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such pipeline file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _require_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected a table of settings, got {value!r}")
    return value


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        both_tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both_tables else value  # pyright: ignore[reportArgumentType]  # checked above
    return merged


def _leaf(value: Any, hint: Any, where: str) -> Any:
    if isinstance(value, str) and hint == tuple[Path, ...]:
        value = [value]
    try:
        return msgspec.convert(value, hint, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        mend = f"; choose one of {', '.join(map(str, choices))}" if choices else f": {error}"
        raise UserError(f"{where} = {value!r} does not fit{mend}") from None


def _decode_path(kind: type, value: Any) -> Any:
    if issubclass(kind, Path) and isinstance(value, str | Path):
        return Path(value)
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
