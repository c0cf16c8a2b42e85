"""Options that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Pipeline file (TOML) that gives settings and inputs."),
]
Stage = Annotated[
    str | None,
    typer.Option(
        "--stage", help="Which stage of the pipeline file, where several have the command."
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results.")]
Assign = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="A.B=VALUE", help="Change one setting; may be repeated."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Delete what the folder holds and start from the beginning.")
]
ResumeWithChanges = Annotated[
    bool,
    typer.Option(
        "--resume-with-changes",
        help="Go on from the last checkpoint with other settings for the rest: rate, epochs, ...",
    ),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:N, or auto.")]


@dataclass(frozen=True)
class Shared:
    """What the options that every stage has were given."""

    config: Path | None = None
    stage: str | None = None
    out: Path | None = None
    assign: list[str] | None = None
    force: bool = False
    resume_with_changes: bool = False
    device: str = "cpu"
