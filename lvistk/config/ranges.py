"""Ranges and marks of settings: checked where settings are read, and shown by ``lvistk settings``."""

import itertools
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

OPERATIONAL = {"operational": True}
"""Field metadata of a setting that cannot change the result: folders are not compared by it."""
OUTPUT_FORM = {"operational": True, "reopens": True}
"""The same of a setting that asks for one more output: a finished run is opened again to write it."""
KEPT = {"operational": True, "kept": True}
"""The same of a setting whose first value a run keeps until it ends."""
CHANGEABLE = {"changeable": True}
"""Of a setting that changes only the rest of a training: ``--resume-with-changes`` allows it."""


@dataclass(frozen=True)
class Ascending:
    """Each item is larger than the one before."""


PART_PATTERN = r"^([1-9][0-9]{0,4}/[1-9][0-9]{0,4})?$"
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Natural = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Few = Annotated[int, Meta(ge=0, le=100)]
"""Layers, which a foreign file must not ask millions of."""
Channels = Annotated[int, Meta(ge=1, le=65_536)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
BelowOne = Annotated[float, Meta(ge=0.0, lt=1.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Degrees = Annotated[float, Meta(ge=0.0, le=180.0)]
Part = Annotated[str, Meta(pattern=PART_PATTERN)]
"""``2/5``, the second of five parts; empty: all."""
Lengths = Annotated[tuple[Count, ...], Meta(min_length=1)]


def range_text(hint: Any) -> str:
    """A setting's range in words, ``0 to 1`` or ``at least 1``; empty where it has none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = range_text(arguments[0])
        own = [text for mark in arguments[1:] if (text := _mark_text(mark))]
        return ", ".join([*([inner] if inner else []), *own])
    if origin is tuple and arguments:
        inner = range_text(arguments[0])
        return f"each {inner.removeprefix('each ')}" if inner else ""
    inner = [text for one in arguments if one is not type(None) and (text := range_text(one))]
    return inner[0] if inner and origin is not typing.Literal else ""


def _mark_text(mark: Any) -> str:
    if isinstance(mark, Ascending):
        return "ascending"
    if not isinstance(mark, Meta):
        return ""
    if mark.pattern is not None:
        return "such as 2/5, or empty"
    if mark.min_length is not None:
        same = mark.max_length == mark.min_length
        return f"{mark.min_length} of them" if same else f"at least {mark.min_length} of them"
    low, high = mark.ge, mark.le
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if low is not None and mark.lt is not None:
        return f"{low:g} to below {mark.lt:g}"
    if mark.gt is not None and high is not None:
        return f"above {mark.gt:g}, at most {high:g}"
    if mark.gt is not None and mark.lt is not None:
        return f"above {mark.gt:g}, below {mark.lt:g}"
    return f"above {mark.gt:g}" if mark.gt is not None else f"at least {low:g}"


def fault(value: Any, hint: Any) -> str:
    """What msgspec's types do not say: not a number, infinite, not ascending; empty where all is well.

    Infinity is allowed in tables of ranges, whose open end it is.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "must be finite"
    if any(math.isnan(number) for number in _numbers(value)):
        return "must hold numbers"
    marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    if any(isinstance(mark, Ascending) for mark in marks):
        steps = list(_numbers(value))
        if any(b <= a for a, b in itertools.pairwise(steps)):
            return "must ascend"
    return ""


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value
