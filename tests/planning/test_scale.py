"""What a stage takes on N devices: by hand, and through ``lvistk plan``."""

import json
from pathlib import Path

import pytest

from lvistk.planning.scale import (
    DETECTION_BYTES,
    Cluster,
    Training,
    inference_cost,
    training_cost,
)
from tests.command_line import Commands

TRAINING = Training(
    images=1000,
    epochs=2,
    max_steps=0,
    batch=16,
    accumulate=1,
    rate=4.0,
    memory_gb=2.0,
    weights=50_000_000,
    trained=40_000_000,
    moments=1,
    checkpoint_steps=50,
    kept=2,
    mosaic=0.5,
)
GIVEN = ("--train-rate", 2, "--infer-rate", 5, "--images", 100_170, "--val-images", 19_809)
GIVEN += ("--pool-images", 1_743_042, "--categories", 1203)


def test_a_training_by_hand() -> None:
    cost = training_cost(TRAINING, Cluster(1))
    assert cost.steps == 126  # 63 per epoch, the last one not whole
    checkpoint = 4 * 90e6 / 1e9  # weights and momentum, GB
    seconds = 126 * 16 / 4 + 3 * checkpoint / 0.5
    assert cost.hours == pytest.approx(seconds / 3600)
    assert cost.device_gb == 32 and cost.exchange == 0
    assert cost.storage_gb == pytest.approx(3 * checkpoint + 0.2)
    assert cost.cores == pytest.approx(4 * (0.5 / 150 + 0.5 / 32))


def test_devices_divide_the_step_and_exchange_what_is_trained() -> None:
    slow = Cluster(8, link_gb_s=0.5)
    cost = training_cost(TRAINING, slow)
    compute = 2 / 4
    ring = (
        2 * 7 / 8 * 4 * 40e6 / 0.5e9
    )  # .56 s, of which the backward pass hides a third of a second
    step = compute + ring - compute * 2 / 3
    seconds = 126 * step + 3 * 0.36 / 0.5
    assert cost.hours == pytest.approx(seconds / 3600)
    assert cost.exchange == pytest.approx(126 * (step - compute) / seconds)
    assert cost.device_gb == 4
    assert training_cost(TRAINING, Cluster(8, link_gb_s=100)).exchange == 0


def test_a_batch_that_does_not_divide_is_told() -> None:
    assert "multiple of 64" in training_cost(TRAINING, Cluster(64)).remark
    assert training_cost(TRAINING, Cluster(16)).remark == ""


def test_inference_by_hand() -> None:
    cost = inference_cost(7200, rate=2.0, detections=100, view_pixels_ratio=3.0, devices=4)
    assert cost.hours == pytest.approx(0.25)
    assert cost.storage_gb == pytest.approx(7200 * 100 * DETECTION_BYTES / 1e9)
    assert cost.cores == pytest.approx(2 * 3 / 150)


def test_plan_of_a_shipped_pipeline_from_given_rates(lvistk: Commands) -> None:
    done = lvistk("plan", "mask_rcnn_r50", "--devices", 8, *GIVEN, "--json")
    assert done.code == 0, done
    table = json.loads(done.out[-1])
    assert table["devices"] == 8
    costs = table["stages"]
    one = json.loads(lvistk("plan", "mask_rcnn_r50", *GIVEN, "--json").out[-1])["stages"]
    assert set(costs) == set(one)
    training = next(cost for cost in costs.values() if cost["steps"])
    name = next(name for name, cost in costs.items() if cost["steps"])
    assert 7 < one[name]["hours"] / training["hours"] <= 8
    assert training["storage_gb"] > 0.5
    shown = lvistk("plan", "mask_rcnn_r50", "--devices", 64, *GIVEN)
    assert any("does not divide over 64 devices" in line for line in shown.err)


def test_disk_of_a_detecting_stage_follows_the_limit_per_image(lvistk: Commands) -> None:
    wanted = ("--set", "tta.merge.max_detections=1000")
    costs = json.loads(lvistk("plan", "mask_rcnn_r50", *GIVEN, *wanted, "--json").out[-1])["stages"]
    usual = costs["detect_finetune"]["storage_gb"]  # of as many images, 300 detections each
    assert costs["tta"]["storage_gb"] == pytest.approx(usual * 1000 / 300)


def test_what_is_not_there_to_be_counted_is_asked_for(
    lvistk: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = lvistk("plan", "mask_rcnn_r50", "--train-rate", 2, "--infer-rate", 5).error()
    assert "not there to be counted; give --categories" in told
    file = tmp_path / "score.toml"
    file.write_text('[stage.score]\ncommand = "evaluate"\n')
    assert lvistk("plan", file).error() == f"{file}: no stage that trains or detects"


def test_data_that_a_pipeline_draws_are_counted_before_they_are_drawn(
    lvistk: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rates = ("--train-rate", 2, "--infer-rate", 5, "--json")
    done = lvistk("plan", "ladder/10_baseline", *rates)
    costs = json.loads(done.out[-1])["stages"]
    assert costs["train"]["steps"] == 1500 * 4 // 2  # nothing pseudo-labelled is in it
    assert costs["detect_train"]["images"] == 500
    assert any("not drawn yet; counted by [generate]" in line for line in done.err)
    told = lvistk("plan", "ladder/10_baseline", *rates, "--images", 100, "--set", "loop.epochs=1")
    assert json.loads(told.out[-1])["stages"]["train"]["steps"] == 50
    told = lvistk("plan", "ladder/10_baseline", "--json", *GIVEN)
    assert not any("not drawn yet" in line for line in told.err), "all numbers were told"
    assert not any(tmp_path.iterdir())
