"""Settings and inputs of every stage.

A stage is known by its command; ``STAGES`` maps the command to its settings class and its inputs
class. Inputs are paths: files, folders of images, or folders of earlier stages. Paths of a pipeline's
``[data]`` table fill the inputs of the same name.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lvistk.config.model import ModelSettings
from lvistk.config.train import (
    AugmentSettings,
    LoaderSettings,
    LoopSettings,
    OptimSettings,
    SamplerSettings,
    SelfTrainSettings,
)

Paths = tuple[Path, ...]


@dataclass(frozen=True)
class TrainReprSettings:
    """Stage 1, representation learning."""

    seed: int = 0
    model: ModelSettings = field(default_factory=ModelSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    selftrain: SelfTrainSettings = field(default_factory=SelfTrainSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)


@dataclass(frozen=True)
class TrainReprInputs:
    train: Paths = ()
    """LVIS annotation files."""
    train_images: Path | None = None
    """Folder of their images."""
    val: Path | None = None
    """Annotation file for evaluation during training."""
    val_images: Path | None = None
    init: Path | None = None
    """A model to start from (stage folder or model.safetensors); else the backbone's weights."""
    missing: Path | None = None
    """Missing annotations found by filter-missing."""
    pseudo: Path | None = None
    """Pseudo labels of Open Images found by pseudo-label."""
    pool: Path | None = None
    """Folder of the Open Images images."""


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

    seed: int = 0
    model: dict[str, Any] = field(
        default_factory=lambda: UPGRADES, metadata={"overrides": ModelSettings}
    )
    """Changes to the settings of the stage 1 model; the paper's by default."""
    freeze: tuple[str, ...] = ("backbone", "neck", "rpn")
    """Parts without gradient: backbone, neck, rpn, box_features, box_regression, mask."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    selftrain: SelfTrainSettings = field(default_factory=SelfTrainSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=0.01, step_epochs=(8, 11), clip_norm=35.0)
    )
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(epochs=12))


@dataclass(frozen=True)
class FinetuneInputs:
    model: Path | None = None
    """The stage 1 model."""
    train: Paths = ()
    train_images: Path | None = None
    val: Path | None = None
    val_images: Path | None = None
    missing: Path | None = None


@dataclass(frozen=True)
class ViewSettings:
    """The sizes and flips that an image is seen at; lengths in pixels."""

    short_edges: tuple[int, ...] = (800,)
    long_edge: int = 1333
    flip: bool = False
    valid_ranges: tuple[tuple[float, float], ...] = ()
    """Smallest and largest square root of box area, in pixels of the original image, that each
    short edge may contribute; empty: all. ``inf`` is a number."""


@dataclass(frozen=True)
class MergeSettings:
    """How detections of several views become one set (arXiv 2009.01559, testing)."""

    score_threshold: float = 1e-4
    pre_nms_per_view: int = 10_000
    """Candidates kept a view, by score, before NMS."""
    nms_iou: float = 0.7
    soft_nms: Literal["gaussian", "linear", "none"] = "gaussian"
    soft_nms_sigma: float = 0.5
    soft_nms_iou: float = 0.3
    """Threshold of linear Soft-NMS."""
    soft_nms_min_score: float = 1e-4
    rare_boost: float = 1.0
    """Factor on the scores of rare categories; the paper gives none."""
    mask_source: Literal["selected", "average", "found"] = "selected"
    """Masks from the view that suits box scale and area ratio, from all, or from the finding view."""
    mask_sides: tuple[float, float, float] = (224.0, 448.0, 896.0)
    """Wanted box side in the view for area ratios of .5 or more, .25 to .5, below (ours)."""
    max_detections: int = 300
    mask_threshold: float = 0.5


@dataclass(frozen=True)
class PredictSettings:
    """How images are run through a model and where detections go."""

    batch_size: int = 1
    """Images that go through the model together."""
    workers: int = 2
    """Threads that read and resize images ahead; 0: none."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    feature_memory_mb: int = 4096
    """Feature maps of views kept for masks, in MB; beyond it they are computed twice."""
    shard_images: int = 500
    """Images a shard file; a shard that is there is complete."""


@dataclass(frozen=True)
class TtaInferSettings:
    seed: int = 0
    views: ViewSettings = field(
        default_factory=lambda: ViewSettings(
            short_edges=(400, 600, 800, 1000, 1200, 1400), long_edge=2333, flip=True
        )
    )
    merge: MergeSettings = field(default_factory=MergeSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    results: bool = True
    """Write results_segm.json and results_bbox.json beside the detection store."""


@dataclass(frozen=True)
class TtaInferInputs:
    model: Path | None = None
    val: Path | None = None
    """Annotation file that lists the images (with or without annotations)."""
    val_images: Path | None = None


@dataclass(frozen=True)
class PseudoLabelSettings:
    seed: int = 0
    source: Literal["lvis", "openimages"] = "lvis"
    views: ViewSettings = field(default_factory=ViewSettings)
    merge: MergeSettings = field(
        default_factory=lambda: MergeSettings(
            score_threshold=0.3, nms_iou=0.5, soft_nms="none", mask_source="found"
        )
    )
    predict: PredictSettings = field(default_factory=PredictSettings)
    max_images: int = field(default=0, metadata={"was": "max_photos"})
    """Label at most so many Open Images images; 0 all."""


@dataclass(frozen=True)
class PseudoLabelInputs:
    model: Path | None = None
    train: Paths = ()
    train_images: Path | None = None
    pool: Path | None = None
    """Folder of Open Images images."""
    pool_list: Path | None = None
    """List of images (Open Images' own CSV) with rotations; without it every image of the folder."""
    exclude: Paths = ()
    """Annotation files whose images (by Flickr id) must not be pseudo-labelled."""


@dataclass(frozen=True)
class FilterMissingSettings:
    seed: int = 0
    rule: Literal["paper", "federated"] = "paper"
    score: float = 0.5
    """Smallest score of a missing annotation (ours)."""
    max_iou: float = 0.1
    """A detection with at most this IoU to every ground truth instance counts as overlapping
    none (ours)."""


@dataclass(frozen=True)
class FilterMissingInputs:
    detections: Path | None = None
    """Result of pseudo-label --source lvis."""
    train: Paths = ()


@dataclass(frozen=True)
class EvaluateSettings:
    seed: int = 0
    kinds: tuple[Literal["segm", "bbox"], ...] = ("segm", "bbox")
    """What is evaluated where the results have it; results without masks have boxes only."""
    max_detections: int = 300
    area: Literal["official", "mask", "box"] = "official"
    """Which area of a detection APs, APm and APl of masks go by. Official (lvis-api): the box's where
    the first detection of the file has a bbox, else the mask's. metrics.json says which it was."""
    boundary: bool = True
    """Boundary AP: the smaller of mask IoU and boundary IoU (arXiv 2103.16562)."""
    unknown_images: Literal["refuse", "drop"] = "refuse"
    """Detections in images that the ground truth has not: an error, as in lvis-api, or left out and
    counted."""
    fixed: bool = True
    """AP-fixed: no limit an image, 10,000 detections a category (arXiv 2102.01066)."""
    fixed_detections: int = 10_000
    area_ratio_edges: tuple[float, ...] = (0.25, 0.5, 0.75)
    curves: bool = False
    """Write the full precision and recall arrays."""
    threads: int = 0
    """0: one a core."""


@dataclass(frozen=True)
class EvaluateInputs:
    val: Path | None = None
    """The ground truth."""
    detections: Path | None = None
    """A tta-infer stage, a detection store, or a results JSON."""
    boxes: Path | None = None
    """A second results JSON with the boxes, where masks and boxes are apart."""


@dataclass(frozen=True)
class ImportWeightsSettings:
    """How a checkpoint of another toolbox becomes a model of ours."""

    seed: int = 0
    """Draws the rows of categories that the checkpoint does not have."""
    toolbox: Literal["auto", "detectron2", "mmdetection", "torchvision"] = "auto"
    style: Literal["auto", "pytorch", "caffe", "bgr"] = "auto"
    """How the backbone wants its input. ``pytorch``: RGB, mean and deviation of ImageNet; ``caffe``:
    MSRA's, BGR, deviation 1, stride in the first 1x1 convolution; ``bgr``: Caffe2's ResNeXts."""
    labels: Literal["same", "by_name", "leave_out"] = "same"
    """Which rows of the last layers are taken over: of the same category ids, of the same names
    (synonyms count), or none."""
    categories_order: Literal["id", "file"] = "id"
    """Order of the checkpoint's categories: ascending ids, or as the annotation file lists them."""
    norm_eps: float | None = None
    """What the toolbox adds to batch norm's variance; none: 1e-5, but 0 for torchvision's own COCO
    weights, which are known by their hash."""
    drop: tuple[str, ...] = ()
    """Beginnings of parameter names that the user gives up."""
    model: dict[str, Any] = field(default_factory=dict, metadata={"overrides": ModelSettings})
    """Changes to the settings that were found."""


@dataclass(frozen=True)
class ImportWeightsInputs:
    checkpoint: Path | None = None
    """A .pkl, .pth or .safetensors of another toolbox."""
    categories: Path | None = None
    """Annotation file, or JSON list, of the new model's categories."""
    source_categories: Path | None = None
    """The same of the checkpoint's categories, where those are others."""


class StageKind(NamedTuple):
    settings: type
    inputs: type


STAGES: dict[str, StageKind] = {
    "train-repr": StageKind(TrainReprSettings, TrainReprInputs),
    "pseudo-label": StageKind(PseudoLabelSettings, PseudoLabelInputs),
    "filter-missing": StageKind(FilterMissingSettings, FilterMissingInputs),
    "finetune": StageKind(FinetuneSettings, FinetuneInputs),
    "tta-infer": StageKind(TtaInferSettings, TtaInferInputs),
    "import-weights": StageKind(ImportWeightsSettings, ImportWeightsInputs),
    "evaluate": StageKind(EvaluateSettings, EvaluateInputs),
}
