"""Both training stages on a handful of drawn images, in this process and in killed ones."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lvistk.config.load import update
from lvistk.console import read_metrics
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.errors import UserError
from lvistk.models.model_file import InputSize, input_size, load_model, model_table
from lvistk.models.tensor_file import read_table, read_tensors, write_tensors
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.runner import run_stage
from lvistk.stages.specifications.train_repr import TrainReprSettings
from lvistk.stages.training.fit import report_strong_epochs
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections
from tests.data.small_data import small_index
from tests.stages.tiny_run import tiny_pipeline

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages, done."""
    root = tmp_path_factory.mktemp("tiny")
    run_pipeline(tiny_pipeline(root), device="cpu")
    return root / "runs"


def test_stage_one_leaves_a_model_that_says_what_it_is(finished: Path) -> None:
    folder = finished / "first"
    table = model_table(folder / "model.safetensors")
    index = small_index(folder.parents[1], count=12)
    assert table["categories"] == index.categories.to_table()
    assert table["settings"]["classifier"]["eql"]["tail_images"] == 6
    assert table["training"]["command"] == "train-repr"
    assert {*table["versions"]} >= {"torch", "torchvision", "python"}
    model = load_model(folder, device=CPU)
    assert not model.training
    rows = read_metrics(folder / "metrics.jsonl")
    losses = {"classifier", "box", "mask", "rpn_objectness", "rpn_box"}
    assert {*rows[0]} >= losses | {"loss", "lr", "photos_per_s", "data_share", "memory_gib"}
    assert sum(rows[0][name] for name in losses) == pytest.approx(rows[0]["loss"], rel=1e-5)
    assert (folder / "curves.png").stat().st_size > 1000
    assert json.loads((folder / "stage.json").read_text())["summary"]["loss"] == rows[-1]["loss"]
    told = read_table(folder / "model.safetensors")["training"]
    assert (
        told["loss"] == rows[-1]["loss"] and "photos_per_s" not in told
    )  # equal runs, equal files


def test_a_checkpoint_is_run_at_the_size_that_it_was_trained_at(
    finished: Path, tmp_path: Path
) -> None:
    folder = finished / "first"
    trained = input_size(folder)
    assert trained != InputSize()
    newest = max((folder / "checkpoints").glob("step_*.safetensors"))
    alone = tmp_path / "alone.safetensors"
    shutil.copy(newest, alone)
    assert input_size(newest) == input_size(alone) == trained
    table = read_table(newest)
    del table["model"]["input"]  # as release 0.2 wrote it
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    shutil.copy(folder / "stage.json", tmp_path / "run" / "stage.json")
    older = tmp_path / "run" / "checkpoints" / newest.name
    write_tensors(older, read_tensors(newest), table=table)
    assert input_size(older) == trained


def test_the_prior_is_the_mean_area_ratio_of_each_category(finished: Path) -> None:
    index = small_index(finished.parent, count=12)
    ratios, labels = index.area_ratios(), np.asarray(index.labels)
    model = load_model(finished / "first", device=CPU)
    assert model.roi_heads.mask is not None
    prior = model.roi_heads.mask.area_ratio_prior
    for label in range(len(index.categories)):
        own = ratios[labels == label]
        expected = own.mean() if len(own) else ratios.mean()
        assert float(prior[label]) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("strong", "mosaic", "told"),
    [(0, 0.5, False), (1, 0.5, False), (2, 0.5, True), (2, 0.0, False)],
)
def test_strong_epochs_that_leave_no_other_are_told(
    strong: int, mosaic: float, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = update(
        TrainReprSettings(),
        {
            "loop": {"epochs": 2},
            "augment": {"strong_epochs": strong, "mosaic_probability": mosaic},
        },
        where="here",
    )
    report_strong_epochs(settings)
    assert ("of 2 epochs changes nothing" in "".join(capsys.readouterr())) == told


def test_fine_tuning_leaves_frozen_parts_bit_identical(finished: Path) -> None:
    before = read_tensors(finished / "first" / "model.safetensors")
    after = read_tensors(finished / "second" / "model.safetensors")
    frozen = [name for name in before if name.split(".")[0] in ("backbone", "neck", "rpn")]
    assert len(frozen) > 50
    for name in frozen:
        assert torch.equal(before[name], after[name]), name
    trained = "roi_heads.box_heads.0.fc.0.weight"
    assert not torch.equal(before[trained], after[trained])


def test_fine_tuning_records_what_became_of_the_weights(finished: Path) -> None:
    table = json.loads((finished / "second" / "upgrade.json").read_text())
    before = read_tensors(finished / "first" / "model.safetensors")
    after = read_tensors(finished / "second" / "model.safetensors")
    taken = {*table["copied"], *table["adapted"], *table["replaced"]}
    assert {*taken, *table["new"]} == {*after}
    assert {*taken, *table["dropped"]} == {*before}
    classifier = "roi_heads.box_heads.0.classifier.linear"
    assert [f"{classifier}.weight", f"{classifier}.bias"] == table["adapted"]
    assert any("boundary" in name for name in table["new"])
    losses = {*read_metrics(finished / "second" / "metrics.jsonl")[0]}
    assert not losses & {"rpn_objectness", "rpn_box"}  # the frozen RPN has none
    settings = model_table(finished / "second" / "model.safetensors")["settings"]
    assert settings["classifier"]["kind"] == "group_softmax"
    assert settings["mask"]["loss"] == "balanced"


def test_run_again_it_is_done_and_touches_no_file(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(path for path in finished.rglob("*") if path.is_file())
    before = [path.stat().st_mtime_ns for path in files]
    run_pipeline(tiny_pipeline(finished.parent), device="cpu")
    assert "first: done" in capsys.readouterr().out
    assert sorted(path for path in finished.rglob("*") if path.is_file()) == files
    assert [path.stat().st_mtime_ns for path in files] == before


def test_other_settings_are_refused(finished: Path) -> None:
    plan = tiny_pipeline(finished.parent, "first.optim.lr=0.5").stage("first")
    with pytest.raises(UserError, match=r"optim\.lr: 0\.02 -> 0\.5"):
        run_stage(plan, device="cpu")


def test_a_model_of_another_label_set_is_refused(finished: Path, tmp_path: Path) -> None:
    pipeline = tiny_pipeline(tmp_path, f"second.inputs.model={finished / 'first'}")
    table = json.loads((tmp_path / "train.json").read_text())
    table["categories"].append({"id": 99, "name": "further", "frequency": "r"})
    (tmp_path / "train.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"different label sets.*99"):
        run_stage(pipeline.stage("second"), device="cpu")


def test_an_unknown_part_to_freeze_is_refused(finished: Path, tmp_path: Path) -> None:
    pipeline = tiny_pipeline(
        tmp_path, f"second.inputs.model={finished / 'first'}", 'second.freeze=["backbon"]'
    )
    with pytest.raises(UserError, match=r"'backbon' is no part of the model; did you mean"):
        run_stage(pipeline.stage("second"), device="cpu")


def test_missing_pseudo_and_init_enter(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_pipeline(tmp_path)
    index = small_index(tmp_path, count=12)
    write_store(tmp_path / "missing.h5", index.categories, role="missing", names=False)
    write_store(tmp_path / "pseudo.h5", index.categories, role="pseudo", names=True)
    names = {"init": finished / "first", "pool": tmp_path / "train2017"}
    names |= {name: tmp_path / f"{name}.h5" for name in ("missing", "pseudo")}
    given = [f"first.inputs.{name}={path}" for name, path in names.items()]
    pipeline = tiny_pipeline(tmp_path, *given, "selftrain.pseudo_images_per_epoch=2")
    summary = run_stage(pipeline.stage("first"), device="cpu")
    said = " ".join(capsys.readouterr().out.split())
    assert "pseudo-labelled images: 2 of 3 in each epoch" in said
    assert "starting from" in said
    assert ", 0 weights new, 1 weights replaced, 0 weights dropped" in said  # the prior
    assert summary["loss"] > 0


def test_it_is_scored_while_it_trains(tmp_path: Path) -> None:
    settings = ("first.loop.epochs=2", "first.loop.evaluate_epochs=2", "first.loop.ema_decay=0.5")
    summary = run_stage(tiny_pipeline(tmp_path, *settings).stage("first"), device="cpu")
    rows = read_metrics(tmp_path / "runs" / "first" / "metrics.jsonl")
    scored = [row for row in rows if "AP" in row]
    assert [row["epoch"] for row in scored] == [2]
    names = {"AP", "APr", "APc", "APf", "box_AP"}
    assert {*scored[0]} == names | {"step", "epoch"}
    assert 0 <= scored[0]["AP"] < 0.5
    assert scored[0]["APr"] is None  # no category is rare in these data
    assert {name: summary[name] for name in names} == {name: scored[0][name] for name in names}
    assert not (tmp_path / "runs" / "first" / "validation").exists()
    best = load_model(
        tmp_path / "runs" / "first" / "checkpoints" / "best.safetensors", device=torch.device("cpu")
    )
    last = load_model(tmp_path / "runs" / "first", device=torch.device("cpu"))
    for name, value in last.state_dict().items():  # the only one that was scored, averages and all
        assert torch.equal(value, best.state_dict()[name]), name


def write_store(path: Path, categories: Categories, *, role: str, names: bool) -> None:
    """One confident detection, a box, in each of the first three images, and one that is not."""
    images = [
        Detections(
            image_id=n if role == "missing" else 1000 + n,
            size=image_size(path.parent / "train2017" / f"{n:012d}.jpg"),
            boxes=np.array([[5, 5, 25, 30], [1, 1, 9, 9]], np.float32),
            scores=np.array([0.9, 0.1], np.float32),
            labels=np.array([1, 2], np.int32),
        )
        for n in (1, 2, 3)
    ]
    given = [f"{n:012d}.jpg" for n in (1, 2, 3)] if names else None
    DetectionWriter(path, categories=categories, role=role).write_shard(0, images, names=given)
    assert len(DetectionStore.open(path)) == 3


def image_size(path: Path) -> tuple[int, int]:
    height, width = cv2.imread(str(path)).shape[:2]
    return height, width


def test_killed_stages_resume_bit_for_bit(finished: Path, tmp_path: Path) -> None:
    root = finished.parent
    tiny_pipeline(root)
    out = tmp_path / "again"
    for stage, rows in (("first", 4), ("second", 4)):
        kill_after(root / "tiny.toml", out, out / stage / "metrics.jsonl", rows=rows)
    done = lvistk("run", root / "tiny.toml", "--out", out, "--device", "cpu")
    said, error = done.communicate()
    assert done.returncode == 0, error
    assert "second: resuming" in said
    for stage in ("first", "second"):
        wanted = read_tensors(finished / stage / "model.safetensors")
        found = read_tensors(out / stage / "model.safetensors")
        assert wanted.keys() == found.keys()
        for name, value in wanted.items():
            assert torch.equal(found[name], value), f"{stage}: {name}"


def test_a_signal_to_the_whole_job_stops_after_a_checkpoint(tmp_path: Path) -> None:
    """As Ctrl-C and Slurm send it: to the loader's workers too."""
    tiny_pipeline(tmp_path)
    out = tmp_path / "stopped"
    settings = ("--set", "loader.workers=1", "--set", "loop.checkpoint_steps=1000")
    with lvistk("run", tmp_path / "tiny.toml", "--out", out, *settings) as process:
        log = out / "first" / "metrics.jsonl"
        while process.poll() is None and not (log.is_file() and len(read_metrics(log)) >= 2):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGTERM)
        _, error = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert [line for line in error.splitlines() if "run again to resume" in line]
    assert "Traceback" not in error
    assert list((out / "first" / "checkpoints").iterdir())
    with lvistk("run", tmp_path / "tiny.toml", "--only", "first", "--out", out, *settings) as again:
        _, error = again.communicate(
            timeout=300
        )  # workers that ignore signals must not keep it alive
    assert again.returncode == 0, error


def lvistk(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "lvistk", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_after(pipeline: Path, out: Path, log: Path, *options: str, rows: int) -> None:
    """Start the pipeline and kill it when ``log`` has so many rows."""
    with lvistk("run", pipeline, "--out", out, "--device", "cpu", *options) as process:
        while process.poll() is None and not (log.is_file() and len(read_metrics(log)) >= rows):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
