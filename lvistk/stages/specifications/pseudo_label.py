"""``pseudo-label``: detections on training images or on the Open Images pool (arXiv 2009.01559)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lvistk.artifacts import StageFolder
from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.inputs import Paths, path, paths
from lvistk.config.ranges import BelowOne, Natural, Part, Seed
from lvistk.errors import UserError
from lvistk.stages.specifications.stage import Stage


@dataclass(frozen=True)
class PseudoLabelSettings:
    seed: Seed = 0
    """Of every random choice; the same seed repeats a run."""
    source: Literal["lvis", "openimages", "images"] = "lvis"
    views: ViewSettings = field(default_factory=ViewSettings)
    merge: MergeSettings = field(
        default_factory=lambda: MergeSettings(
            score_threshold=0.3, nms_iou=0.5, soft_nms="none", mask_source="found"
        )
    )
    predict: PredictSettings = field(default_factory=PredictSettings)
    group_scores: tuple[BelowOne, ...] = ()
    """Smallest stored scores of rare, common and frequent categories, such as [0.1, 0.2, 0.3]; empty:
    merge.score_threshold for all, which categories without a group always have."""
    fold: Part = ""
    """With source lvis: label only this fold of the training images; see ``train-repr``."""
    max_images: Natural = field(default=0, metadata={"was": "max_photos"})
    """Label at most so many images of the pool, drawn by the seed; 0 all."""


@dataclass(frozen=True)
class PseudoLabelInputs:
    model: Path | None = path(
        "A trained model: stage folder or model.safetensors.",
        required=True,
        made_by=("train-repr", "finetune", "import-weights"),
    )
    train: Paths = paths("LVIS annotation file of the training images; may be repeated.")
    train_images: Path | None = path("Folder of the training images.")
    pool: Path | None = path("Folder of unlabelled images.")
    pool_list: Path | None = path(
        "Open Images list (CSV or ids) with rotations; without it every image of the folder."
    )
    images: Paths = paths(
        "With --source images: folders, globs in quotes, text files that list paths; else all of --pool."
    )
    exclude: Paths = paths("Annotation file whose images must not be labelled; may be repeated.")
    exclude_images: Path | None = path(
        "Folder of the images of --exclude: images that show the same are not labelled."
    )


def run(
    settings: PseudoLabelSettings, inputs: PseudoLabelInputs, out: StageFolder, *, device: str
) -> dict[str, Any]:
    from lvistk.stages.inference import pseudo_label  # imports torch

    return pseudo_label.run(settings, inputs, out, device=device)


def unread(settings: PseudoLabelSettings, inputs: PseudoLabelInputs) -> set[str]:
    match settings.source:
        case "lvis":
            return {"pool", "pool_list", "exclude", "exclude_images", "images"}
        case "openimages":
            return {"train", "train_images", "images"}
        case "images":
            return {"train", "train_images", "pool_list"}


def check(settings: PseudoLabelSettings, inputs: PseudoLabelInputs, out: Path) -> None:
    from lvistk.stages.inference.inference_check import check_images  # imports numpy

    assert inputs.model is not None  # the runner has checked that it is given
    if settings.group_scores and len(settings.group_scores) != 3:
        raise UserError(
            f"group_scores = {list(settings.group_scores)}: give three: rare, common, frequent"
        )
    if settings.fold and settings.source != "lvis":
        raise UserError(f"fold = {settings.fold}: folds are of the training images, --source lvis")
    if settings.source == "lvis":
        if not inputs.train or inputs.train_images is None:
            raise UserError("pseudo-label --source lvis needs --train and --train-images")
        check_images(inputs.model, inputs.train, inputs.train_images, out=out)
        return
    if settings.source == "openimages" and inputs.pool is None:
        raise UserError(
            "pseudo-label --source openimages needs the input 'pool', a folder of unlabelled images: give "
            "--pool or, in a pipeline file, [data] pool"
        )
    if settings.source == "images" and inputs.pool is None and not inputs.images:
        raise UserError("pseudo-label --source images needs --images, or --pool, a folder")
    if settings.source == "images" and inputs.exclude and inputs.exclude_images is None:
        raise UserError(
            "--exclude: images of any source are told by what they show; give --exclude-images, the folder "
            "of the excluded images"
        )
    if inputs.exclude_images is not None and not inputs.exclude:
        raise UserError("--exclude-images needs --exclude, the annotation files of these images")


PSEUDO_LABEL = Stage(
    command="pseudo-label",
    help="Detect on training or unlabelled images; the detections become labels or ignored regions.",
    settings=PseudoLabelSettings,
    inputs=PseudoLabelInputs,
    outputs=("detections", "per_category.json", "unreadable.json", "excluded.json"),
    run=run,
    needs_device=True,
    in_portions=True,
    unread=unread,
    options={
        "source": "lvis: the training images; openimages: a pool of Open Images; images: any images.",
    },
    told_apart_by=("source",),
    check=check,
)
