"""``finetune``: stage 2 of the paper, a balanced classifier and better masks (section 3.2)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvistk.artifacts import StageFolder
from lvistk.config.inputs import path
from lvistk.config.model import ModelSettings
from lvistk.config.ranges import CHANGEABLE, Seed
from lvistk.config.train import (
    AugmentSettings,
    FeatureSettings,
    LoaderSettings,
    LoopSettings,
    OptimSettings,
    SamplerSettings,
    SelfTrainSettings,
)
from lvistk.stages.specifications.stage import Stage
from lvistk.stages.specifications.training import VALIDATION, TrainingInputs, unread_validation

UPGRADES: dict[str, Any] = {
    "classifier": {"kind": "group_softmax"},
    "mask": {
        "assignment": "fpn",
        "loss": "balanced",
        "boundary": True,
        "extra_convs": 3,
        "deform_pool": "v1",
    },
}
"""What the paper's stage 2 changes in the model of stage 1 (paper section 3)."""


@dataclass(frozen=True)
class FinetuneSettings:
    """Stage 2: balanced classifier and better masks on a frozen representation."""

    seed: Seed = 0
    """Of every random choice; the same seed repeats a run."""
    model: dict[str, Any] = field(
        default_factory=lambda: UPGRADES, metadata={"overrides": ModelSettings}
    )
    """Changes to the settings of the stage 1 model; the paper's by default."""
    freeze: tuple[str, ...] = ("backbone", "neck", "rpn")
    """Parts without gradient: backbone, neck, rpn; box_head, or of it box_features, box_regression,
    classifier; mask."""
    features: FeatureSettings = field(default_factory=FeatureSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings, metadata=CHANGEABLE)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    selftrain: SelfTrainSettings = field(default_factory=SelfTrainSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=0.01, step_epochs=(8, 11), clip_norm=35.0)
    )
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(epochs=12))


@dataclass(frozen=True)
class FinetuneInputs(TrainingInputs):
    model: Path | None = path(
        "The stage 1 model: stage folder or model.safetensors.",
        required=True,
        made_by=("train-repr", "import-weights"),
    )


def run(
    settings: FinetuneSettings, inputs: FinetuneInputs, out: StageFolder, *, device: str
) -> dict[str, Any]:
    from lvistk.stages.training import finetune  # imports torch

    return finetune.run(settings, inputs, out, device=device)


def unread(settings: FinetuneSettings, inputs: FinetuneInputs) -> set[str]:
    return unread_validation(settings.loop)


def check(settings: FinetuneSettings, inputs: FinetuneInputs, out: Path) -> None:
    from lvistk.stages.training.training_check import check_training  # imports numpy

    check_training(inputs, out=out, loader=settings.loader, loop=settings.loop)


FINETUNE = Stage(
    command="finetune",
    help="Stage 2: balanced group softmax and better masks on the frozen representation.",
    settings=FinetuneSettings,
    inputs=FinetuneInputs,
    outputs=("model.safetensors", "metrics.jsonl", "curves.png", "upgrade.json"),
    run=run,
    needs_device=True,
    unread=unread,
    uncounted=VALIDATION,
    check=check,
)
