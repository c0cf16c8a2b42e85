"""What the shell may complete: stages, stages of a pipeline file, settings and their choices."""

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from lvistk.config.load import read_toml
from lvistk.errors import UserError
from lvistk.stages.pipelines.shipped import find_pipeline, shipped_names
from lvistk.stages.specifications import STAGES


def stage_commands(incomplete: str) -> list[str]:
    """Commands of stages."""
    return _begun(STAGES, incomplete)


def pipelines(incomplete: str) -> list[str]:
    """Names of shipped pipelines; the shell completes files by itself."""
    return _begun(shipped_names(), incomplete)


def stages_of_file(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of stages in the pipeline file that the command line names, of the same command if it is one."""
    own = ctx.info_name or ""
    tables = _stage_tables(ctx)
    fitting = [name for name, one in tables.items() if own not in STAGES or one == own]
    return _begun(fitting, incomplete)


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """``optim.lr=``, and after the sign the choices of a setting that has some.

    In a pipeline command, names begin with a stage's or are those of the shared tables.
    """
    own = ctx.params.get("command") or ctx.info_name or ""
    kinds = {"": STAGES[own].settings} if own in STAGES else _kinds_of_file(ctx)
    names: dict[str, tuple[str, ...]] = {}
    for prefix, kind in kinds.items():
        names |= dict(_settings_of(kind, f"{prefix}." if prefix else ""))
    name, equals, begun = incomplete.partition("=")
    if equals:
        return [f"{name}={one}" for one in _begun(names.get(name, ()), begun)]
    return _begun([f"{one}=" for one in names], name)


def _settings_of(kind: type, prefix: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Dotted name and choices of every setting below ``kind``."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = field.metadata.get("overrides", hints[field.name])
        if dataclasses.is_dataclass(inner):
            yield from _settings_of(typing.cast(type, inner), f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", _choices(inner)


def _choices(hint: Any) -> tuple[str, ...]:
    if hint is bool:
        return ("true", "false")
    if typing.get_origin(hint) is typing.Literal:
        return tuple(str(one) for one in typing.get_args(hint))
    return ()


def _kinds_of_file(ctx: typer.Context) -> dict[str, type]:
    """Settings of each stage of the pipeline file."""
    return {
        name: STAGES[command].settings
        for name, command in _stage_tables(ctx).items()
        if command in STAGES
    }


def _stage_tables(ctx: typer.Context) -> dict[str, str]:
    """Name and command of every stage in the pipeline file; none if it cannot be read."""
    names = [ctx.params.get(name) for name in ("config", "pipeline", "target")]
    names += [word for word in ctx.args if not word.startswith("-")]  # not parsed: no value yet
    try:
        given = find_pipeline(Path(next(filter(None, names), "lvistk.toml")))
        stages = read_toml(given).get("stage", {})
    except (UserError, OSError):
        return {}
    if not isinstance(stages, dict):
        return {}
    return {name: str(one.get("command")) for name, one in stages.items() if isinstance(one, dict)}


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
