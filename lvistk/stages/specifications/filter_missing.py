"""``filter-missing``: keep the detections on training images that no annotation explains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk.artifacts import StageFolder
from lvistk.config.inputs import Paths, path, paths
from lvistk.config.missing import MissingRule
from lvistk.config.ranges import Seed
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class FilterMissingSettings(MissingRule):
    seed: Seed = 0
    """Of every random choice; the same seed repeats a run."""


@dataclass(frozen=True)
class FilterMissingInputs:
    detections: Paths = paths(
        "Result of pseudo-label --source lvis; may be repeated for the results of several hosts or folds.",
        required=True,
        made_by=("pseudo-label --source lvis",),
    )
    train: Paths = paths("LVIS annotation file to train on; may be repeated.", required=True)
    train_images: Path | None = path("Folder of the training images, for a sheet of pictures.")
    against: Path | None = path(
        "Fuller annotations of the same images: precision and recall of every rule are measured."
    )


def run(
    settings: FilterMissingSettings, inputs: FilterMissingInputs, out: StageFolder
) -> dict[str, Any]:
    from lvistk.stages import filter_missing  # imports numpy and h5py

    return filter_missing.run(settings, inputs, out)


def check(settings: FilterMissingSettings, inputs: FilterMissingInputs, out: Path) -> None:
    from lvistk.stages.inference.inference_check import check_detections  # imports numpy

    check_detections(inputs.detections, inputs.train, out=out)


FILTER_MISSING = Stage(
    command="filter-missing",
    help="Keep the detections on training images that no annotation explains.",
    settings=FilterMissingSettings,
    inputs=FilterMissingInputs,
    outputs=("missing.h5", "per_category.json", "sheet.jpg", "against.json", "against.png"),
    run=run,
    check=check,
    uncounted=("train_images",),
)
