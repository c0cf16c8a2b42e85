"""``evaluate``: results against ground truth, by the official LVIS protocol."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk.artifacts import StageFolder
from lvistk.config.evaluation import EvaluateSettings
from lvistk.config.inputs import path
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class EvaluateInputs:
    val: Path | None = path(
        "LVIS annotation file: the ground truth.", required=True, argument="GROUND_TRUTH"
    )
    detections: Path | None = path(
        "Results JSON of any detector, a detection store, or a tta-infer folder.",
        required=True,
        argument="RESULTS",
        made_by=("tta-infer",),
    )
    boxes: Path | None = path("Second results JSON, where boxes are in a file of their own.")


def run(settings: EvaluateSettings, inputs: EvaluateInputs, out: StageFolder) -> dict[str, Any]:
    from lvistk.stages import evaluate  # imports numpy

    return evaluate.run(settings, inputs, out)


EVALUATE = Stage(
    command="evaluate",
    help="Score results by the official LVIS protocol; writes metrics.json.",
    settings=EvaluateSettings,
    inputs=EvaluateInputs,
    outputs=("metrics.json", "per_category.csv", "per_category.json", "curves.npz"),
    run=run,
)
