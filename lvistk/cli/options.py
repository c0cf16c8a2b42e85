"""Options that several commands share, as Typer wants them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lvistk.cli import completion, stage_options
from lvistk.cli.stage_options import Option
from lvistk.errors import UserError

COMPLETED: dict[str, Callable[..., list[str]]] = {
    "assign": completion.settings,
    "stage": completion.stages_of_file,
}
"""What the shell completes, by name of the option."""


def typed(option: Option) -> Any:
    """What Typer is told about an option or an argument."""
    if option.flags:
        return typer.Option(
            *option.flags,
            metavar=option.metavar,
            help=option.help,
            autocompletion=COMPLETED.get(option.name),
        )
    return typer.Argument(metavar=option.metavar, help=option.help, show_default=False)


Config = Annotated[Path | None, typed(stage_options.CONFIG)]
Stage = Annotated[str | None, typed(stage_options.STAGE)]
Out = Annotated[Path | None, typed(stage_options.OUT)]
Assign = Annotated[list[str] | None, typed(stage_options.ASSIGN)]
Force = Annotated[bool, typed(stage_options.FORCE)]
ResumeWithChanges = Annotated[bool, typed(stage_options.RESUME_WITH_CHANGES)]
DryRun = Annotated[bool, typed(stage_options.DRY_RUN)]
Json = Annotated[bool, typed(stage_options.JSON)]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", min=1, help="Of a ladder: seeds 0, 1, ... of this number; default 1."),
]
Shard = Annotated[str | None, typed(stage_options.SHARD)]
Device = Annotated[str, typed(stage_options.DEVICE)]


def refuse_seeds(seeds: int | None) -> None:
    if seeds is not None:
        raise UserError("--seeds is for a folder of pipeline files; use --set seed=1")
