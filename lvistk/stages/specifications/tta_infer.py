"""``tta-infer``: detections of an annotation file's images, in one view or many (arXiv 2009.01559)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvistk.artifacts import StageFolder
from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.inputs import Paths, path, paths
from lvistk.config.ranges import OUTPUT_FORM, Seed
from lvistk.errors import UserError
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class TtaInferSettings:
    seed: Seed = 0
    """Of every random choice; the same seed repeats a run."""
    views: ViewSettings = field(
        default_factory=lambda: ViewSettings(
            short_edges=(400, 600, 800, 1000, 1200, 1400), long_edge=2333, flip=True
        )
    )
    merge: MergeSettings = field(default_factory=MergeSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    results: bool = field(default=True, metadata=OUTPUT_FORM)
    """Write results_segm.json and results_bbox.json beside the detection store."""


@dataclass(frozen=True)
class TtaInferInputs:
    model: Path | None = path(
        "A trained model: stage folder or model.safetensors.",
        required=True,
        made_by=("finetune", "train-repr", "import-weights"),
    )
    val: Path | None = path(
        "LVIS annotation file that lists the images, with or without annotations."
    )
    val_images: Path | None = path("Folder of these images.")
    images: Paths = paths(
        "Instead of --val: images, folders, globs in quotes, text files that list paths; may be repeated."
    )


def run(
    settings: TtaInferSettings, inputs: TtaInferInputs, out: StageFolder, *, device: str
) -> dict[str, Any]:
    from lvistk.stages.inference import tta_infer  # imports torch

    return tta_infer.run(settings, inputs, out, device=device)


def unread(settings: TtaInferSettings, inputs: TtaInferInputs) -> set[str]:
    return {"val", "val_images"} if inputs.images else set()


def check(settings: TtaInferSettings, inputs: TtaInferInputs, out: Path) -> None:
    if not inputs.images and (inputs.val is None or inputs.val_images is None):
        raise UserError(
            "tta-infer needs images: give --images, or --val and --val-images (in a pipeline file: [data])"
        )
    if not inputs.images:
        from lvistk.stages.inference.inference_check import check_images  # imports numpy

        assert inputs.model and inputs.val and inputs.val_images  # as above, and the runner
        check_images(inputs.model, [inputs.val], inputs.val_images, out=out)


TTA_INFER = Stage(
    command="tta-infer",
    help="Detect with several scales and flips, merge them, and write detections and LVIS results.",
    settings=TtaInferSettings,
    inputs=TtaInferInputs,
    outputs=(
        "detections",
        "results_segm.json",
        "results_bbox.json",
        "images.json",
        "unreadable.json",
    ),
    run=run,
    needs_device=True,
    unread=unread,
    in_portions=True,
    check=check,
)
