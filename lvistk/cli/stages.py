"""A command for every stage, made from its specification."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from lvistk.cli.alone import run_alone
from lvistk.cli.app import app
from lvistk.cli.options import Assign, Config, Device, Force, Out, ResumeWithChanges, Shared, Stage
from lvistk.config.load import marked
from lvistk.stages.specifications import STAGES
from lvistk.stages.specifications import Stage as Specification

Parameter = inspect.Parameter


def command_of(stage: Specification) -> Callable[..., None]:
    """What Typer makes the command ``stage.command`` of: shared options, then settings, then inputs."""

    def command(**given: Any) -> None:  # Typer passes one keyword for each of the parameters below
        names = {one.name for one in dataclasses.fields(Shared)}
        shared = Shared(**{name: value for name, value in given.items() if name in names})
        run_alone(
            stage.command,
            shared,
            settings={name: given[name] for name in stage.options},
            inputs={one.name: given[one.name] for one in dataclasses.fields(stage.inputs)},
        )

    parameters = [*_inputs(stage, arguments=True), *_shared(stage), *_settings(stage)]
    parameters += _inputs(stage, arguments=False)
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]  # read by inspect.signature
    command.__doc__ = stage.help
    return command


def _shared(stage: Specification) -> Iterator[Parameter]:
    yield _parameter("config", Config)
    yield _parameter("stage", Stage)
    yield _parameter("out", Out)
    yield _parameter("assign", Assign)
    yield _parameter("force", Force, default=False)
    if marked(stage.settings(), "changeable"):
        yield _parameter("resume_with_changes", ResumeWithChanges, default=False)
    if stage.needs_device:
        yield _parameter("device", Device, default="auto")


def _settings(stage: Specification) -> Iterator[Parameter]:
    """The settings with an option of their own; without a value the settings' default stays."""
    hints = typing.get_type_hints(stage.settings)
    for name, help in stage.options.items():
        kind = list[str] if typing.get_origin(hints[name]) is tuple else str
        yield _parameter(name, Annotated[kind | None, typer.Option(_option(name), help=help)])


def _inputs(stage: Specification, *, arguments: bool) -> Iterator[Parameter]:
    """Inputs that are arguments, or those that are options. None is required: a file may give it."""
    for one in dataclasses.fields(stage.inputs):
        metavar, help = one.metadata["argument"], one.metadata["help"]
        if bool(metavar) != arguments:
            continue
        if arguments:
            about = typer.Argument(metavar=metavar, help=help, show_default=False)
        else:
            about = typer.Option(_option(one.name), help=help)
        kind = list[Path] if one.default == () else Path
        yield _parameter(one.name, Annotated[kind | None, about])


def _parameter(name: str, annotation: Any, *, default: Any = None) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


for _stage in STAGES.values():
    app.command(_stage.command)(command_of(_stage))
