"""``filter-missing``: keep the detections on training images that no annotation explains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lvistk.artifacts import StageFolder
from lvistk.config.inputs import Paths, path, paths
from lvistk.config.ranges import Seed, Share
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class FilterMissingSettings:
    seed: Seed = 0
    """Of every random choice; the same seed repeats a run."""
    rule: Literal["paper", "federated"] = "paper"
    score: Share = 0.5
    """Smallest score of a missing annotation (ours)."""
    max_iou: Share = 0.1
    """A detection with at most this IoU to every ground truth instance counts as overlapping
    none (ours)."""


@dataclass(frozen=True)
class FilterMissingInputs:
    detections: Path | None = path(
        "Result of pseudo-label --source lvis.",
        required=True,
        made_by=("pseudo-label --source lvis",),
    )
    train: Paths = paths("LVIS annotation file to train on; may be repeated.", required=True)


def run(
    settings: FilterMissingSettings, inputs: FilterMissingInputs, out: StageFolder
) -> dict[str, Any]:
    from lvistk.stages import filter_missing  # imports numpy and h5py

    return filter_missing.run(settings, inputs, out)


def check(settings: FilterMissingSettings, inputs: FilterMissingInputs, out: Path) -> None:
    from lvistk.stages.inference_check import check_detections  # imports numpy

    assert inputs.detections is not None  # the runner has checked that it is given
    check_detections(inputs.detections, inputs.train, out=out)


FILTER_MISSING = Stage(
    command="filter-missing",
    help="Keep the detections on training images that no annotation explains.",
    settings=FilterMissingSettings,
    inputs=FilterMissingInputs,
    outputs=("missing.h5",),
    run=run,
    check=check,
)
