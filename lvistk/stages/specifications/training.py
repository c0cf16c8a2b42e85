"""Inputs that both training stages have."""

from dataclasses import dataclass
from pathlib import Path

from lvistk.config.inputs import Paths, path, paths
from lvistk.config.train import LoopSettings


@dataclass(frozen=True)
class TrainingInputs:
    train: Paths = paths("LVIS annotation file to train on; may be repeated.", required=True)
    train_images: Path | None = path("Folder of the training images.", required=True)
    val: Path | None = path("LVIS annotation file of the validation images.")
    val_images: Path | None = path("Folder of the validation images.")
    missing: Path | None = path("Missing annotations: result of filter-missing.")


VALIDATION = ("val", "val_images")


def unread_validation(loop: LoopSettings) -> set[str]:
    """Validation data, where nothing is evaluated during training."""
    return set() if loop.evaluate_epochs else set(VALIDATION)
