"""tta-infer and pseudo-label through the runner, with a small untrained model on drawn images."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lvis import LVIS, LVISResults

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.config.train import SelfTrainSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.lvis_json import read_categories
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.models.build import build_model
from lvistk.models.model_file import save_model
from lvistk.selftrain.pseudo import PseudoSource
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from lvistk.stages.pipelines.runner import run_stage
from tests.data.small_data import small_index

ROOT = Path(__file__).parents[2]
MODEL = {
    "backbone": {"name": "resnet18", "width": 0.125, "norm": "gn", "frozen_stages": 0},
    "fpn": {"channels": 16},
    "rpn": {"anchor_sizes": [10, 20, 40, 80, 160], "pre_nms_test": 60, "post_nms_test": 30},
    "box": {"fc_channels": 16, "class_agnostic": True},
    "mask": {"channels": 16, "convs": 1, "mask_iou": True},
    "classifier": {"kind": "softmax"},
}
PIPELINE = """
out = "{root}/runs"
[data]
train = ["{root}/train.json"]
train_images = "{root}"
val = "{root}/train.json"
val_images = "{root}"
pool = "{root}/pool"
pool_list = "{root}/pool.csv"
[predict]
shard_images = 4
workers = 1
[merge]
max_detections = 8
[stage.plain]
command = "tta-infer"
inputs = {{ model = "{root}/model.safetensors" }}
[stage.plain.views]
short_edges = [64]
flip = false
[stage.tta]
command = "tta-infer"
inputs = {{ model = "{root}/model.safetensors" }}
[stage.tta.views]
short_edges = [48, 80]
valid_ranges = [[16, inf], [0, 40]]
[stage.tta.merge]
mask_sides = [20, 40, 80]
[stage.lvis]
command = "pseudo-label"
inputs = {{ model = "{root}/model.safetensors" }}
[stage.lvis.views]
short_edges = [64]
[stage.lvis.merge]
score_threshold = 0.05
[stage.pool]
command = "pseudo-label"
source = "openimages"
max_images = 3
inputs = {{ model = "{root}/model.safetensors" }}
[stage.pool.views]
short_edges = [64]
[stage.pool.merge]
score_threshold = 0.05
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images, a pool of five of which one is turned, and a model of their categories."""
    root = tmp_path_factory.mktemp("inference")
    index = small_index(root, count=10, empty=1)
    write_model(root / "model.safetensors", index)
    rows = ["ImageID,Subset,OriginalURL,OriginalLandingURL,License,Rotation"]
    for k in range(5):
        name = f"{k:016x}"
        (root / "pool" / f"train_{k % 2}").mkdir(parents=True, exist_ok=True)
        picture = cv2.imread(str(root / "train2017" / f"{k + 1:012d}.jpg"))
        picture = cv2.resize(picture, (70, 50))
        cv2.imwrite(str(root / "pool" / f"train_{k % 2}" / f"{name}.jpg"), picture)
        rows.append(f"{name},train,,,,{90.0 if k < 4 else 0.0}")
    (root / "pool.csv").write_text("\n".join(rows) + "\n")
    return root


def write_model(path: Path, index: AnnotationIndex) -> None:
    torch.manual_seed(0)
    settings = update(ModelSettings(), MODEL, where="test")
    save_model(path, build_model(settings, index.categories), extra={})


def pipeline(root: Path, *assignments: str) -> Pipeline:
    file = root / "inference.toml"
    file.write_text(PIPELINE.format(root=root))
    return load_pipeline(file, assignments=assignments)


@pytest.fixture(scope="module")
def plain(root: Path) -> Path:
    plan = pipeline(root).stage("plain")
    run_stage(plan, device="cpu")
    return plan.out


def test_every_image_has_its_row(plain: Path, root: Path) -> None:
    store = DetectionStore.open(plain)
    index = small_index_again(root)
    np.testing.assert_array_equal(store.image_ids, index.image_ids)
    assert len(list((plain / "detections").glob("*.h5"))) == 3
    for row, image in enumerate(store):
        assert image.size == index.size(row)
        assert 0 < len(image) <= 8
        assert (np.diff(image.scores) <= 0).all()
        assert image.masks is not None and image.mask_scores is not None
        assert (image.mask_scores <= image.scores).all()
        height, width = image.size
        assert (image.boxes >= 0).all() and (image.boxes <= [width, height] * 2).all()


def small_index_again(root: Path) -> AnnotationIndex:
    return AnnotationIndex.open([root / "train.json"], cache=root / "cache")


@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")  # lvis 0.5.3's own
def test_results_are_what_the_official_code_takes(plain: Path, root: Path) -> None:
    store = DetectionStore.open(plain)
    masks = json.loads((plain / "results_segm.json").read_text())
    boxes = json.loads((plain / "results_bbox.json").read_text())
    assert len(masks) == len(boxes) == sum(len(image) for image in store)
    image = store[0]
    first = masks[0]
    best = int(np.argmax(image.mask_scores))
    assert first["score"] == float(image.mask_scores[best])
    assert first["category_id"] == store.category_ids[image.labels[best]]
    assert first["segmentation"]["counts"].encode() == image.masks[best]
    assert boxes[0]["score"] == float(image.scores[0])
    gt = LVIS(root / "train.json")
    loaded = LVISResults(gt, masks)
    assert len(loaded.get_ann_ids()) == len(masks)
    areas = rle.areas(image.masks, image.size)
    assert loaded.anns[1]["area"] == areas[best]
    LVISResults(gt, boxes)


def test_twice_is_done_and_touches_nothing(plain: Path, root: Path) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in plain.rglob("*") if p.is_file()}
    summary = run_stage(pipeline(root).stage("plain"), device="cpu")
    assert summary["photos"] == 10
    assert {p: p.stat().st_mtime_ns for p in plain.rglob("*") if p.is_file()} == stamps


def test_views_and_merging(root: Path) -> None:
    plan = pipeline(root).stage("tta")
    summary = run_stage(plan, device="cpu")
    assert summary["views"] == 4
    store = DetectionStore.open(plan.out)
    assert len(store) == 10
    assert any(len(image) for image in store)


def test_killed_and_run_again(root: Path, plain: Path) -> None:
    """A SIGKILL in the middle costs no more than the shard in work; the result is the same bytes."""
    out = root / "killed"
    command = [
        sys.executable,
        "-m",
        "lvistk",
        "tta-infer",
        "--config",
        str(root / "inference.toml"),
    ]
    command += ["--stage", "plain", "--out", str(out), "--device", "cpu"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "detections" / "00000.h5").is_file() and time.monotonic() < deadline:
        assert process.poll() in (None, 0)
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = (out / "detections" / "00000.h5").stat().st_mtime_ns
    plan = pipeline(root).stage("plain")
    run_stage(
        plan.__class__(plan.name, plan.command, plan.settings, plan.inputs, out), device="cpu"
    )
    assert (out / "detections" / "00000.h5").stat().st_mtime_ns == first
    for name in ("results_segm.json", "results_bbox.json"):
        assert (out / name).read_bytes() == (plain / name).read_bytes()


def test_pseudo_labels_of_training_images(root: Path) -> None:
    plan = pipeline(root).stage("lvis")
    summary = run_stage(plan, device="cpu")
    store = DetectionStore.open(plan.out)
    assert (summary["photos"], store.role) == (10, "detections")
    assert summary["detections"] == sum(len(image) for image in store)


def test_pseudo_labels_of_the_pool(root: Path) -> None:
    plan = pipeline(root).stage("pool")
    assert run_stage(plan, device="cpu")["photos"] == 3
    store = DetectionStore.open(plan.out)
    assert store.role == "pseudo"
    for row in range(3):
        assert (root / "pool" / store.name(row)).is_file()
        turned = int(Path(store.name(row)).stem, 16) < 4
        assert store.rotation(row) == (90 if turned else 0)
        assert store[row].size == ((70, 50) if turned else (50, 70))
    source = PseudoSource(
        store,
        root / "pool",
        categories=read_categories(root / "train.json"),
        settings=SelfTrainSettings(pseudo_score=0.05),
    )
    assert source.image(0).path.is_file()


@pytest.mark.parametrize(
    ("assignments", "stage", "words"),
    [
        (["data.train_images="], "lvis", "train-images"),
        (["data.pool="], "pool", "--pool"),
        (["plain.views.valid_ranges=[[0, 9], [0, 9]]"], "plain", "valid_ranges"),
    ],
)
def test_what_is_missing_is_named(root: Path, tmp_path: Path, assignments, stage, words) -> None:
    table = (root / "inference.toml").read_text() if (root / "inference.toml").is_file() else ""
    file = tmp_path / "inference.toml"
    text = (table or PIPELINE.format(root=root)).replace(f"{root}/runs", str(tmp_path / "runs"))
    for assignment in assignments:
        name, value = assignment.split("=")
        if not value:
            key = name.removeprefix("data.")
            text = "\n".join(x for x in text.splitlines() if not x.startswith(f"{key} = "))
    file.write_text(text)
    given = [a for a in assignments if not a.endswith("=")]
    with pytest.raises(UserError, match=words):
        run_stage(load_pipeline(file, assignments=given).stage(stage), device="cpu")


def test_a_model_of_other_categories_is_refused(root: Path, tmp_path: Path) -> None:
    table = json.loads((root / "train.json").read_text())
    table["categories"].append({"id": 99, "name": "one more", "frequency": "r"})
    (tmp_path / "more.json").write_text(json.dumps(table))
    plan = pipeline(root, f"data.val={tmp_path / 'more.json'}").stage("plain")
    plan = plan.__class__(plan.name, plan.command, plan.settings, plan.inputs, tmp_path / "out")
    with pytest.raises(UserError, match="different label sets"):
        run_stage(plan, device="cpu")
    assert not (tmp_path / "out" / "detections").exists()
