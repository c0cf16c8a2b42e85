"""Every pipeline that ships builds its models as written, and runs from end to end at reduced size."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from lvistk.config.load import apply_overrides
from lvistk.config.model import ModelSettings
from lvistk.console import read_metrics
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.synthetic import GenerateSettings, generate
from lvistk.engine.optimizer import build_optimizer
from lvistk.models.build import build_model
from lvistk.models.freeze import freeze
from lvistk.models.model_file import load_model, save_model
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from lvistk.stages.pipelines.stage_plan import StagePlan
from lvistk.stages.specifications.filter_missing import FilterMissingSettings
from lvistk.stages.specifications.finetune import FinetuneSettings
from lvistk.stages.specifications.pseudo_label import PseudoLabelSettings
from lvistk.stages.specifications.train_repr import TrainReprSettings
from lvistk.stages.specifications.tta_infer import TtaInferSettings
from lvistk.structures.categories import Categories
from tests.models.build_small import some_categories

PIPELINES = sorted((Path(__file__).parents[1] / "pipelines").glob("*.toml"))
REPEATED = (
    "cross_fitting",
    "htc_resnest101_dcn",
    "htc_resnest200_dcn",
    "htc_resnest269_dcn",
    "mask_rcnn_r50",
)
"""Run with the slow tests: each takes a minute or more, and htc_r50 has most of what they have."""
DATA = GenerateSettings(
    images=12, val_images=2, pool_images=2, categories=8, long_side=80, workers=1
)
SMALL_MODEL = (
    "model.canonical_size=12.0",
    "model.fpn.channels=16",
    "model.rpn.anchor_sizes=[10, 20, 40, 80, 160]",
    "model.rpn.pre_nms_train=60",
    "model.rpn.post_nms_train=30",
    "model.rpn.pre_nms_test=30",
    "model.rpn.post_nms_test=10",
    "model.rpn.batch_per_image=16",
    "model.box.fc_channels=16",
    "model.box.batch_per_image=16",
    "model.mask.channels=16",
    "sampler.repeat_images=4",
    "loader.workers=0",
    "loop.batch_size=4",
)
SMALL_VIEWS = (
    "views.short_edges=[48, 64]",
    "views.long_edge=96",
    "views.valid_ranges=[[16, inf], [0, inf]]",
    "merge.max_detections=10",
    "predict.workers=0",
    "predict.batch_size=4",
)
ONE_VIEW = ("views.short_edges=[64]", "views.long_edge=96", "merge.max_detections=5")
"""The rest of a pipeline stays as it is: kinds of layers, heads, losses, augmentation, precision."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    generate(root / "data", settings=DATA, force=False)
    return root


def models(pipeline: Pipeline) -> list[tuple[str, ModelSettings, tuple[str, ...]]]:
    """Each training stage's name, its model as written, and what it freezes."""
    found: dict[Path, tuple[str, ModelSettings, tuple[str, ...]]] = {}
    for plan in pipeline.stages:
        if isinstance(plan.settings, TrainReprSettings):
            found[plan.out] = plan.name, plan.settings.model, ()
        elif isinstance(plan.settings, FinetuneSettings):
            _, first, _ = found[plan.inputs.model]
            changed = apply_overrides(first, plan.settings.model, where=plan.name)
            found[plan.out] = plan.name, changed, plan.settings.freeze
    return list(found.values())


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_its_models_build_as_written(path: Path) -> None:
    pipeline = load_pipeline(path)
    built: list[ModelSettings] = []
    for name, settings, frozen in models(pipeline):
        if settings in built:
            continue  # both rounds of stage 1 are the same model
        built.append(settings)
        with torch.device("meta"):  # shapes without memory or time
            model = build_model(settings, lvis_sized())
        freeze(model, frozen)
        optimizer = build_optimizer(model, pipeline.stage(name).settings.optim)
        assert optimizer.param_groups


def lvis_sized() -> Categories:
    return dataclasses.replace(some_categories(1203), annotated_images=100_170)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in REPEATED))
        for path in PIPELINES
    ],
)
def test_it_runs_from_end_to_end_at_reduced_size(path: Path, world: Path, tmp_path: Path) -> None:
    """One step of each training stage, two views of two images, scores of what was found."""
    pipeline = reduced(path, world, out=tmp_path)
    run_pipeline(pipeline, device="cpu")
    for name, settings, _ in models(pipeline):
        folder = tmp_path / name
        rows = read_metrics(folder / "metrics.jsonl")
        assert [row["step"] for row in rows] == [1]
        assert np.isfinite(rows[0]["loss"])
        found = load_model(folder, device=torch.device("cpu")).settings
        assert found == settings
    assert (tmp_path / pipeline.stages[-1].name / "metrics.json").is_file()


def reduced(path: Path, world: Path, *, out: Path) -> Pipeline:
    """The pipeline with small images, a narrow or shallow backbone, few proposals, and one step a stage."""
    written = load_pipeline(path)
    first = models(written)[0][1]
    data, annotations = world / "data", world / "data" / "annotations"
    given = [
        f'data.train=["{annotations / "train.json"}"]',
        f"data.train_images={data}",
        f"data.val={annotations / 'val.json'}",
        f"data.val_images={data}",
        "data.exclude=[]",
        f"data.pool={data / 'openimages'}",
        f"data.pool_list={data / 'openimages' / 'train-images-with-rotation.csv'}",
        *SMALL_MODEL,
    ]
    if path.stem == "cross_fitting":
        given += [f"data.against={annotations / 'train_full_truth.json'}"]
    if not first.backbone.weights.startswith("lvistk:"):
        given += ["model.backbone.weights=", "model.backbone.frozen_stages=0"]
        if first.backbone.library == "torchvision":
            given += ["model.backbone.width=0.125"]
        elif first.backbone.name.startswith("resnest"):
            given += ["model.backbone.name=resnest14d"]
    if first.classifier.eql.tail_fraction is not None:  # shares of 12 images, not of 100,000
        given += ["model.classifier.eql.tail_fraction=0.2", "sampler.repeat_fraction=0.2"]
    for plan in written.stages:
        name = _name_in_file(plan)
        match plan.settings:
            case TrainReprSettings() | FinetuneSettings():
                given += _small_training(name, plan.settings)
            case TtaInferSettings():
                given += [f"{name}.{text}" for text in SMALL_VIEWS]
            case PseudoLabelSettings():
                given += [f"{name}.{text}" for text in ONE_VIEW]
                given += [f"{name}.merge.score_threshold=0.0001"]
                given += [f"{name}.predict.workers=0"]
            case FilterMissingSettings():
                given += [f"{name}.score=0.0"]
    pipeline = load_pipeline(path, assignments=given, out=out)
    outside = [s for s in pipeline.stages if _starts_from_elsewhere(s.inputs, pipeline)]
    if outside:
        init = out / "init.safetensors"
        _write_model(init, outside[0].settings.model, world)
        given += [f"{plan.name}.inputs.init={init}" for plan in outside]
    return load_pipeline(path, assignments=given, out=out)


def _name_in_file(plan: StagePlan) -> str:
    """A fold's stage is one of several that the file writes as one."""
    folded = getattr(plan.settings, "fold", "")
    return plan.name.rpartition("_")[0] if folded else plan.name


def _starts_from_elsewhere(inputs: object, pipeline: Pipeline) -> bool:
    init = getattr(inputs, "init", None)
    return init is not None and not init.is_relative_to(pipeline.out)


def _write_model(path: Path, settings: ModelSettings, world: Path) -> None:
    train = world / "data" / "annotations" / "train.json"
    index = AnnotationIndex.open([train], cache=world / "cache")
    save_model(path, build_model(settings, index.categories), extra={})


def _small_training(name: str, settings: TrainReprSettings | FinetuneSettings) -> list[str]:
    augment = settings.augment
    edges = "[48, 80]" if augment.short_edge_mode == "range" else "[48, 64]"
    certain = ("mosaic_probability", "rotate_probability", "instaboost_probability")
    return [
        f"{name}.augment.short_edges={edges}",
        f"{name}.augment.long_edge=96",
        f"{name}.augment.mosaic_size=[96, 96]",
        *(f"{name}.augment.{key}=1.0" for key in certain if getattr(augment, key)),
        f"{name}.selftrain.pseudo_score=0.0",
        f"{name}.selftrain.missing_score=0.0",
        f"{name}.loop.max_steps=1",
        f"{name}.loop.log_steps=1",
    ]
