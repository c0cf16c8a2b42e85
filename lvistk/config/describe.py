"""Settings as a person reads and changes them: the TOML of a stage, with what each one means."""

import ast
import dataclasses
import inspect
import json
import textwrap
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from lvistk.config.ranges import range_text

WIDTH = 100
"""Columns of a comment."""


def stage_toml(settings: Any, *, name: str, command: str) -> str:
    """All settings of a stage as its table in a pipeline file, which reads back as ``settings``.

    Comments hold what a setting means, its choices, and its default where it has another value.
    """
    table = f"stage.{name}"
    lines = [f"[{table}]", f"command = {json.dumps(command)}"]
    lines += _table_lines(settings, type(settings)(), table)
    return "\n".join(lines)


def _table_lines(settings: Any, default: Any, name: str) -> Iterator[str]:
    """The plain settings of one table, then the tables inside it."""
    inner: list[tuple[str, Any, Any]] = []
    meanings = _meanings(type(settings))
    for field in dataclasses.fields(settings):
        value, usual = getattr(settings, field.name), getattr(default, field.name)
        if dataclasses.is_dataclass(value) or "overrides" in field.metadata:
            inner.append((field.name, value, usual))
            continue
        yield from _comment(meanings.get(field.name))
        yield from _setting_line(field.name, value, usual, limits=_limits(settings, field.name))
    for key, value, usual in inner:
        yield ""
        if isinstance(value, Mapping):
            yield from _comment(meanings.get(key))
            yield from _plain_table(value, f"{name}.{key}")
            continue
        yield from _comment(meanings.get(key) or _own_words(type(value)))
        yield f"[{name}.{key}]"
        yield from _table_lines(value, usual, f"{name}.{key}")


def _comment(text: str | None) -> Iterator[str]:
    for line in textwrap.wrap((text or "").replace("``", "`"), WIDTH - 2):
        yield f"# {line}"


def _setting_line(name: str, value: Any, usual: Any, *, limits: str) -> Iterator[str]:
    notes = [limits] if limits else []
    if value != usual:
        notes.append(f"default {'none' if usual is None else _toml(usual)}")
    if value is None:
        yield f"# {name} is not set" + (f"; {limits}" if limits else "")
        return
    yield f"{name} = {_toml(value)}" + (f"  # {'; '.join(notes)}" if notes else "")


def _plain_table(table: Mapping[str, Any], name: str) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    plain = [f"{key} = {_toml(value)}" for key, value in table.items() if key not in tables]
    if plain or not tables:
        yield f"[{name}]"
    yield from plain
    for key, value in tables.items():
        yield from _plain_table(value, f"{name}.{key}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)


def _limits(settings: Any, name: str) -> str:
    """The choices or the range of a setting in words."""
    hint = typing.get_type_hints(type(settings), include_extras=True)[name]
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    return range_text(hint)


@lru_cache
def _meanings(kind: type) -> dict[str, str]:
    """The string below each field in the class's source, on one line; those of its bases too."""
    meanings = {}
    for base in kind.__bases__:
        if dataclasses.is_dataclass(base):
            meanings |= _meanings(base)
    source = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(source, ast.ClassDef)
    for field, below in zip(source.body, source.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                meanings[name] = " ".join(text.split())
    return meanings


def _own_words(kind: type) -> str:
    """A dataclass's docstring on one line; without one Python puts the signature there."""
    text = " ".join((kind.__doc__ or "").split())
    return "" if text.startswith(f"{kind.__name__}(") else text
