"""The training loop on a toy model: it learns, and its parts do what the settings say."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lvistk.console import read_metrics
from lvistk.engine.checkpoint import read_newest, write_checkpoint
from lvistk.engine.curves import draw_curves
from lvistk.engine.ema import AveragedWeights
from lvistk.engine.job import Part
from lvistk.engine.loop import train
from lvistk.errors import UserError
from tests.engine.toy import ToyBatches, ToyModel, toy_job


def test_it_learns_and_reports(tmp_path: Path) -> None:
    rate = {"kind": "adamw", "lr": 0.05, "step_epochs": (11,), "clip_norm": 5.0}
    job = toy_job(tmp_path, max_steps=0, epochs=12, log_steps=5, **rate)
    train(job)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["step"] == 6 * 6 + 6 * 7  # epochs of 24 and 28 samples take turns
    assert rows[-1]["epoch"] == 12.0
    for name in ("lr", "loss_class", "loss_area", "photos_per_s", "data_share", "memory_gib"):
        assert all(isinstance(row[name], float) for row in rows)
    assert_close(rows[3]["loss"], rows[3]["loss_class"] + rows[3]["loss_area"])
    assert all(row["grad_norm"] > 0 for row in rows)


def test_three_and_three_steps_are_six(tmp_path: Path) -> None:
    whole = train(toy_job(tmp_path / "whole", max_steps=6, ema_decay=0.9, kind="adamw"))
    train(toy_job(tmp_path / "parts", max_steps=3, ema_decay=0.9, kind="adamw"))
    again = train(toy_job(tmp_path / "parts", max_steps=6, ema_decay=0.9, kind="adamw"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    keys = ("step", "lr", "loss", "loss_class", "loss_area")
    curves = [
        [{key: row[key] for key in keys} for row in read_metrics(tmp_path / part / "metrics.jsonl")]
        for part in ("whole", "parts")
    ]
    assert curves[0] == curves[1]


def test_accumulating_parts_equals_the_whole_batch(tmp_path: Path) -> None:
    def run(parts: int) -> nn.Module:
        torch.manual_seed(1)
        model = ToyModel(norm=False, dropout=0.0)
        model.register_buffer("seen", None)  # its counter would be read at another time
        model.forward = lambda batch, targets: plain_loss(model, batch, targets)  # type: ignore[method-assign]  # the toy's own
        job = toy_job(tmp_path / str(parts), model=model, accumulate=parts, max_steps=4)
        return train(job)

    one, two = run(1), run(2)
    for name, value in one.state_dict().items():
        assert_close(value, two.state_dict()[name], rtol=0, atol=1e-6)


def plain_loss(model: ToyModel, batch, targets) -> dict[str, torch.Tensor]:
    features = model.norm(model.body(batch.images.float() / 255)).relu().mean((2, 3))
    areas = torch.stack([target.area_ratio[0] for target in targets])
    return {"loss_area": (model.head(features)[:, 4] - areas).square().mean()}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(tmp_path: Path, precision: str) -> None:
    job = toy_job(tmp_path, precision=precision, channels_last=True, max_steps=6, clip_norm=1.0)
    before = job.model.head.weight.detach().clone()
    model = train(job)
    assert model.head.weight.dtype == torch.float32
    assert not torch.equal(before, model.head.weight)
    assert all(row["loss"] is not None for row in read_metrics(tmp_path / "metrics.jsonl"))


def test_scaler_state_is_resumed(tmp_path: Path) -> None:
    whole = train(toy_job(tmp_path / "whole", max_steps=6, precision="fp16"))
    train(toy_job(tmp_path / "parts", max_steps=3, precision="fp16"))
    again = train(toy_job(tmp_path / "parts", max_steps=6, precision="fp16"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    newest = read_newest(tmp_path / "parts" / "checkpoints")
    assert newest is not None
    assert newest.table["scaler"]["_growth_tracker"] == 6  # good steps, over both runs


def test_another_precision_goes_on(tmp_path: Path) -> None:
    for number, precision in enumerate(("fp32", "fp16", "bf16"), start=1):
        train(toy_job(tmp_path, max_steps=2 * number, precision=precision))
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]


def test_averages_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    averages = AveragedWeights(model, decay=0.15)
    for step, (weight, expected) in enumerate(
        [(10.0, 9.0), (20.0, 0.15 * 9 + 0.85 * 20), (0.0, 0.15 * 18.35)]
    ):  # decays .1, then .15 instead of 2/11 and 3/12
        model.weight.data.fill_(weight)
        averages.update(updates=step)
        assert_close(averages.averages["weight"], torch.tensor([[expected]]))
    with averages.in_model():
        assert_close(model.weight.detach(), torch.tensor([[0.15 * 18.35]]))
    assert model.weight.item() == 0.0


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    batches = ToyBatches(4, poison=7)
    with pytest.raises(UserError, match=r"loss_area not finite .*images .*\b7\b"):
        train(toy_job(tmp_path, batches=batches, max_steps=0))


def spoil_newest(folder: Path) -> int:
    """Weights as a run that diverges leaves them: finite, and their loss is not."""
    newest = read_newest(folder)
    assert newest is not None
    newest.tensors["model.head.weight"].fill_(1e38)
    step = newest.table["step"]
    write_checkpoint(folder, step=step, tensors=newest.tensors, table=newest.table, keep=2)
    return step


@pytest.mark.parametrize("clip_norm", [0.0, 1e6])
def test_a_checkpoint_from_after_the_divergence_is_passed_over(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], clip_norm: float
) -> None:
    whole = train(toy_job(tmp_path / "whole", max_steps=6, ema_decay=0.9, clip_norm=clip_norm))
    train(toy_job(tmp_path / "run", max_steps=4, ema_decay=0.9, clip_norm=clip_norm))
    assert spoil_newest(tmp_path / "run" / "checkpoints") == 4
    again = train(toy_job(tmp_path / "run", max_steps=6, ema_decay=0.9, clip_norm=clip_norm))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert "the checkpoint after step 4 was spoiled" in capfd.readouterr().err


@dataclasses.dataclass
class Breaking(ToyBatches):
    """Step ``at`` (0 is the first) gets an area that is no number, the first ``times`` times."""

    at: int = 5
    times: int = 99

    def epoch(self, epoch: int, start_sample: int = 0) -> Iterator[Part]:
        done = sum(self.len_epoch(e) // 4 for e in range(epoch)) + start_sample // 4
        for number, (batch, targets) in enumerate(super().epoch(epoch, start_sample), start=done):
            if number == self.at and self.times:
                self.times -= 1
                broken = torch.full((1,), float("nan"))
                targets = [dataclasses.replace(one, area_ratio=broken) for one in targets]
            yield batch, targets


def test_a_lower_rate_that_breaks_again_goes_back_further(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The run diverges two steps after the newest checkpoint; the one before is sound."""
    resumed: list[int] = []
    train(toy_job(tmp_path, max_steps=4, checkpoint_steps=2))
    high = toy_job(tmp_path, max_steps=10, checkpoint_steps=9, batches=Breaking(4, at=5))
    with pytest.raises(UserError, match=r"step 6: .*not finite.*--resume-with-changes"):
        train(high)
    assert "the checkpoint" not in capfd.readouterr().err
    lower = toy_job(
        tmp_path,
        max_steps=10,
        checkpoint_steps=9,
        lr=0.001,
        batches=Breaking(4, at=5, times=1),
        resumed=resumed.append,
    )
    train(lower)
    assert (
        "after step 4 leads to a loss that is not finite with the changed settings too (step 6)"
        in (capfd.readouterr().err)
    )
    assert resumed == [4, 2]


def test_the_only_checkpoint_is_kept_though_its_next_loss_is_not_finite(tmp_path: Path) -> None:
    train(toy_job(tmp_path, max_steps=2))
    spoil_newest(tmp_path / "checkpoints")
    with pytest.raises(UserError, match=r"step 3: .*not finite"):
        train(toy_job(tmp_path, max_steps=6))
    assert (tmp_path / "checkpoints" / "step_00000002.safetensors").is_file()


def test_fewer_steps_than_were_done_are_refused(tmp_path: Path) -> None:
    train(toy_job(tmp_path, max_steps=4))
    with pytest.raises(UserError, match=r"holds 4 steps and the run would end after 3; raise"):
        train(toy_job(tmp_path, max_steps=3))


def test_gradients_that_are_not_finite_stop_the_run(tmp_path: Path) -> None:
    job = toy_job(tmp_path, clip_norm=1.0)

    def infinite_gradient(gradient: torch.Tensor) -> torch.Tensor:
        return gradient / 0

    job.model.head.bias.register_hook(infinite_gradient)
    with pytest.raises(UserError, match="step 1: grad_norm not finite"):
        train(job)


def test_frozen_parts_stay_as_they_are(tmp_path: Path) -> None:
    job = toy_job(tmp_path)
    model = job.model
    model.norm.requires_grad_(False)
    before = {k: v.clone() for k, v in model.norm.state_dict().items()}
    train(toy_job(tmp_path, model=model, frozen=[model.norm]))
    for name, value in model.norm.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_averaged_weights_become_the_model(tmp_path: Path) -> None:
    steps: list[torch.Tensor] = []

    def remember(model: nn.Module) -> dict[str, float | None]:
        steps.append(model.head.bias.detach().clone())
        assert not model.training
        return {"AP": 0.5, "APr": None}

    model = train(
        toy_job(
            tmp_path, max_steps=0, epochs=2, ema_decay=0.9, evaluate=remember, evaluate_epochs=1
        )
    )
    assert len(steps) == 2
    assert torch.equal(steps[-1], model.head.bias)  # evaluated with the averages
    rows = [r for r in read_metrics(tmp_path / "metrics.jsonl") if "AP" in r]
    assert [(r["step"], r["AP"], r["APr"]) for r in rows] == [(6, 0.5, None), (13, 0.5, None)]
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_batches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch_size = 4 does not divide .*accumulate = 3"):
        train(toy_job(tmp_path, accumulate=3, batches=ToyBatches(1)))
    with pytest.raises(UserError, match="fewer than loop"):
        train(toy_job(tmp_path, batch_size=64))


def test_tensorboard_gets_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(toy_job(tmp_path, max_steps=3, tensorboard=True))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
