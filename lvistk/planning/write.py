"""A plan as a pipeline file, each reason a comment."""

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lvistk.planning.planned import Choice, Plan

WIDTH = 100
"""Columns of a line."""


def pipeline_text(
    plan: Plan, *, name: str, out: str, data: Mapping[str, Any], head: Sequence[str]
) -> str:
    """The file: ``head`` as comments, ``[data]``, then the plan's tables.

    name, out: of the pipeline. data: paths that fill the inputs of the same name.
    """
    lines = [*_comments(head), "", f"name = {_toml(name)}", f"out = {_toml(out)}", "seed = 0", ""]
    lines += data_lines(data)
    for table in plan.tables:
        lines.append("")
        lines += _comments([table.note] if table.note else [])
        lines.append(f"[{table.name}]")
        for choice in table.choices:
            lines += _setting(choice)
    return "\n".join(lines) + "\n"


def data_lines(data: Mapping[str, Any]) -> list[str]:
    """The table ``[data]``."""
    return ["[data]", *(f"{key} = {_toml(value)}" for key, value in data.items())]


def _setting(choice: Choice) -> Iterator[str]:
    line = f"{choice.name} = {_toml(choice.value)}"
    if choice.reason and len(line) + len(choice.reason) + 4 <= WIDTH:
        yield f"{line}  # {choice.reason}"
        return
    yield from _comments([choice.reason] if choice.reason else [])
    yield line


def _comments(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        for line in textwrap.wrap(text, WIDTH - 2) or [""]:
            yield f"# {line}".rstrip()


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case float() if math.isinf(value):
            return "inf"
        case int() | float():
            return repr(value)
        case Mapping():
            return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
        case list() | tuple():
            return f"[{', '.join(_toml(one) for one in value)}]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)
