"""A command for every stage, made from its specification."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

from lvistk.cli.alone import run_alone
from lvistk.cli.app import app
from lvistk.cli.options import typed
from lvistk.cli.stage_options import Option, options_of
from lvistk.stages.specifications import STAGES
from lvistk.stages.specifications.stage import Stage


def command_of(stage: Stage) -> Callable[..., None]:
    """What Typer makes the command ``stage.command`` of."""

    def command(**given: Any) -> None:  # Typer passes one keyword for each of the parameters below
        run_alone(stage, given)

    parameters = [_parameter(option) for option in options_of(stage)]
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]  # read by inspect.signature
    command.__doc__ = stage.help
    return command


def _parameter(option: Option) -> inspect.Parameter:
    kind: Any = list[option.kind] if option.many else option.kind
    if option.default is None:
        kind = kind | None
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[kind, typed(option)],
    )


for _stage in STAGES.values():
    app.command(_stage.command)(command_of(_stage))
