"""``predict``: a model on any images: pictures, JSON, table, and a detection store."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvistk.artifacts import StageFolder
from lvistk.config.inference import PLAIN_MERGE, FreeViewSettings, MergeSettings, PredictSettings
from lvistk.config.inputs import Paths, path, paths
from lvistk.config.ranges import OUTPUT_FORM, Natural, Seed, Share
from lvistk.errors import UserError
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class PredictStageSettings:
    """Detections on any images, for people and programs."""

    seed: Seed = 0
    """Not used: a prediction draws nothing."""
    min_score: Share | None = None
    """Detections that score less are left out; none: .3, and 0 for the boxes of masks_for."""
    category: tuple[str, ...] = ()
    """Names of the categories to detect; empty: all."""
    tta: bool = False
    """Several sizes and flips instead of one view."""
    views: FreeViewSettings = field(default_factory=FreeViewSettings)
    merge: MergeSettings = PLAIN_MERGE
    """With several views and unchanged, it is that of tta-infer."""
    predict: PredictSettings = field(default_factory=lambda: PredictSettings(max_unreadable=1.0))
    pictures: Natural = field(default=1000, metadata=OUTPUT_FORM)
    """Images that are drawn, the first ones; 0: none."""
    csv: bool = field(default=False, metadata=OUTPUT_FORM)
    """Also write detections.csv, a line per detection."""


@dataclass(frozen=True)
class PredictInputs:
    images: Paths = paths(
        "Images, folders, globs in quotes, or text files that list paths.",
        required=True,
        argument="IMAGES",
    )
    model: Path | None = path(
        "A trained model: stage folder, model file, or another toolbox's checkpoint.",
        required=True,
        made_by=("finetune", "train-repr", "import-weights"),
    )
    masks_for: Path | None = path(
        "Results JSON or detection store whose boxes get masks, instead of the model's own boxes."
    )
    annotations: Path | None = path(
        "Annotation file that lists the images of --masks-for, where results name them by id."
    )


def run(
    settings: PredictStageSettings, inputs: PredictInputs, out: StageFolder, *, device: str
) -> dict[str, Any]:
    from lvistk.stages.inference import predict  # imports torch

    return predict.run(settings, inputs, out, device=device)


def check(settings: PredictStageSettings, inputs: PredictInputs, out: Path) -> None:
    if inputs.masks_for is not None and settings.category:
        raise UserError("predict: --category is for the model's own boxes, not for --masks-for")
    if inputs.annotations is not None and inputs.masks_for is None:
        raise UserError("predict: --annotations is for --masks-for; tta-infer takes --val")
    if inputs.annotations is not None and (
        len(inputs.images) != 1 or not inputs.images[0].is_dir()
    ):
        raise UserError("predict: with --annotations give one folder, that of their images")


def complete(plan: Any, *, config: Path | None, out: Path | None) -> Any:
    from lvistk.stages.forecasts.predict_plan import completed  # knows pipelines

    return completed(plan, config=config, out=out)


PREDICT = Stage(
    command="predict",
    help="Detect on any images; writes pictures, JSON, a table if wanted, and a detection store.",
    settings=PredictStageSettings,
    inputs=PredictInputs,
    outputs=(
        "predictions.json",
        "results_segm.json",
        "detections",
        "pictures",
        "detections.csv",
        "unreadable.json",
    ),
    run=run,
    needs_device=True,
    check=check,
    complete=complete,
    options={
        "min_score": "Leave out detections that score less (.3).",
        "category": "Detect this category alone, by name; may be repeated.",
        "tta": "Several sizes and flips, by the pipeline file's tta-infer stage if it has one.",
        "pictures": "Draw at most so many images (1000); 0: none.",
        "csv": "Also write detections.csv.",
    },
)
