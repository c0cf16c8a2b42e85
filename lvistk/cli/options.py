"""Options that several commands share."""

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
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:N, or auto.")]
Train = Annotated[
    list[Path] | None,
    typer.Option("--train", help="LVIS annotation file to train on; may be repeated."),
]
TrainImages = Annotated[
    Path | None, typer.Option("--train-images", help="Folder of the training images.")
]
Val = Annotated[
    Path | None, typer.Option("--val", help="LVIS annotation file of the validation images.")
]
ValImages = Annotated[
    Path | None, typer.Option("--val-images", help="Folder of the validation images.")
]
Model = Annotated[
    Path | None,
    typer.Option("--model", help="A trained model: stage folder or model.safetensors."),
]
Missing = Annotated[
    Path | None, typer.Option("--missing", help="Missing annotations: result of filter-missing.")
]
Pool = Annotated[
    Path | None, typer.Option("--pool", help="Folder of unlabelled Open Images images.")
]
