"""``train-repr``: stage 1 of the paper, representation learning (section 3.1)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvistk.artifacts import StageFolder
from lvistk.config.inputs import Paths, path, paths
from lvistk.config.model import ModelSettings
from lvistk.config.ranges import CHANGEABLE, Part, Seed
from lvistk.config.train import (
    AugmentSettings,
    LoaderSettings,
    LoopSettings,
    OptimSettings,
    SamplerSettings,
    SelfTrainSettings,
)
from lvistk.errors import UserError
from lvistk.stages.specifications.stage import Stage
from lvistk.stages.specifications.training import VALIDATION, TrainingInputs, unread_validation


@dataclass(frozen=True)
class TrainReprSettings:
    """Stage 1, representation learning."""

    seed: Seed = 0
    """Of every random choice; the same seed repeats a run."""
    fold: Part = ""
    """Train on all images but this fold, such as 1/3, the first of three; the model then labels the fold."""
    model: ModelSettings = field(default_factory=ModelSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings, metadata=CHANGEABLE)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    selftrain: SelfTrainSettings = field(default_factory=SelfTrainSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)


@dataclass(frozen=True)
class TrainReprInputs(TrainingInputs):
    init: Path | None = path("Model to start from: stage folder or model.safetensors.")
    pseudo: Paths = paths(
        "Pseudo labels: result of pseudo-label --source openimages; may be repeated."
    )
    pool: Path | None = path("Folder of unlabelled Open Images images.")


def run(
    settings: TrainReprSettings, inputs: TrainReprInputs, out: StageFolder, *, device: str
) -> dict[str, Any]:
    from lvistk.stages.training import train_repr  # imports torch

    return train_repr.run(settings, inputs, out, device=device)


def unread(settings: TrainReprSettings, inputs: TrainReprInputs) -> set[str]:
    return unread_validation(settings.loop) | (set() if inputs.pseudo else {"pool"})


def check(settings: TrainReprSettings, inputs: TrainReprInputs, out: Path) -> None:
    from lvistk.stages.training.training_check import check_training  # imports numpy

    if inputs.pseudo and inputs.pool is None:
        raise UserError("train-repr: 'pseudo' needs 'pool', the folder of its images")
    check_training(
        inputs, out=out, loader=settings.loader, loop=settings.loop, pseudo=inputs.pseudo
    )


TRAIN_REPR = Stage(
    command="train-repr",
    help="Stage 1: learn the representation (EQL, repeat factor sampling, mosaic, self-training).",
    settings=TrainReprSettings,
    inputs=TrainReprInputs,
    outputs=("model.safetensors", "metrics.jsonl", "curves.png"),
    run=run,
    needs_device=True,
    unread=unread,
    uncounted=VALIDATION,
    check=check,
)
