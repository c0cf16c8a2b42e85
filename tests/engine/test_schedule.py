"""Learning rates and parameter groups against hand-computed values."""

import math

import pytest
import torch
from torch import nn

from lvistk.config.train import OptimSettings
from lvistk.engine.optimizer import base_rate, build_optimizer, set_rate, split_norm_parameters
from lvistk.engine.schedule import Schedule
from lvistk.errors import UserError
from lvistk.models.deform_conv import DeformConv2d


def test_steps_fall_at_the_ends_of_epochs() -> None:
    settings = OptimSettings(warmup_steps=0, step_epochs=(2, 3), step_factor=0.1)
    schedule = Schedule(settings, steps_per_epoch=[3, 4, 3, 2])
    factors = [schedule.factor(step) for step in range(12)]
    assert factors == pytest.approx([1.0] * 7 + [0.1] * 3 + [0.01] * 2)
    assert schedule.total_steps == 12
    assert [schedule.epoch_and_step(step) for step in (0, 2, 3, 6, 7, 11, 12)] == [
        (0, 0),
        (0, 2),
        (1, 0),
        (1, 3),
        (2, 0),
        (3, 1),
        (4, 0),
    ]
    assert [schedule.epoch_of(step) for step in (0, 3, 5, 12)] == [0.0, 1.0, 1.5, 4.0]


def test_a_milestone_after_the_last_epoch_changes_nothing() -> None:
    settings = OptimSettings(warmup_steps=0, step_epochs=(2, 9))
    schedule = Schedule(settings, steps_per_epoch=[5, 5])
    assert {schedule.factor(step) for step in range(10)} == {1.0}


def test_the_paper_s_schedule_over_24_epochs() -> None:
    schedule = Schedule(OptimSettings(warmup_steps=0), steps_per_epoch=[10] * 24)
    rates = [0.02 * schedule.factor(step) for step in (0, 159, 160, 219, 220, 239)]
    assert rates == pytest.approx([0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002])


def test_warm_up_is_linear_and_cosine_ends_at_zero() -> None:
    settings = OptimSettings(schedule="cosine", warmup_steps=4, warmup_factor=0.2)
    schedule = Schedule(settings, steps_per_epoch=[50, 50])
    cosine = [0.5 * (1 + math.cos(math.pi * step / 100)) for step in range(101)]
    expected = [f * c for f, c in zip((0.2, 0.4, 0.6, 0.8), cosine, strict=False)]
    assert [schedule.factor(step) for step in range(4)] == pytest.approx(expected)
    assert schedule.factor(4) == pytest.approx(cosine[4])
    assert schedule.factor(50) == pytest.approx(0.5)
    assert schedule.factor(100) == pytest.approx(0.0, abs=1e-12)


def test_the_rate_goes_with_the_batch() -> None:
    assert base_rate(OptimSettings(lr=0.02, lr_batch=16), batch_size=4) == pytest.approx(0.005)
    assert base_rate(OptimSettings(lr=0.02, lr_batch=0), batch_size=4) == 0.02


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_norms_have_their_own_decay_and_frozen_parameters_none(kind: str) -> None:
    frozen = nn.Linear(4, 4).requires_grad_(False)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(4), frozen
    )
    settings = OptimSettings(kind=kind, weight_decay=0.1, norm_weight_decay=0.0)  # pyright: ignore[reportArgumentType]  # parametrized
    optimizer = build_optimizer(model, settings)
    groups = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert [len(groups[decay]) for decay in (0.1, 0.0)] == [2, 6]
    norms, others = split_norm_parameters(model)
    assert not {id(p) for p in norms + others} & {id(p) for p in frozen.parameters()}


def test_offsets_of_deformable_convolutions_learn_at_a_rate_of_their_own() -> None:
    model = nn.Sequential(DeformConv2d(nn.Conv2d(3, 4, 3), version="v1"), nn.BatchNorm2d(4))
    usual = build_optimizer(model, OptimSettings())
    assert len(usual.param_groups) == 2
    slow = build_optimizer(model, OptimSettings(offset_lr_factor=0.1))
    set_rate(slow, 0.5)
    rates = {id(p): group["lr"] for group in slow.param_groups for p in group["params"]}
    named = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert named == {
        "0.weight": 0.5,
        "0.bias": 0.5,
        "0.offset.weight": 0.05,
        "0.offset.bias": 0.05,
        "1.weight": 0.5,
        "1.bias": 0.5,
    }
    with pytest.raises(UserError, match="no deformable convolution"):
        build_optimizer(nn.Linear(2, 2), OptimSettings(offset_lr_factor=0.1))


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(UserError, match="everything is frozen"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), OptimSettings())


def test_adamw_on_a_cpu_takes_the_fused_kernel_and_steps_as_the_default_does() -> None:
    torch.manual_seed(0)
    fused, plain = nn.Linear(5, 4), nn.Linear(5, 4)
    plain.load_state_dict(fused.state_dict())
    settings = OptimSettings(kind="adamw", lr=0.01, weight_decay=0.1)
    ours = build_optimizer(fused, settings)
    usual = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1, fused=False)
    assert all(group["fused"] for group in ours.param_groups)
    for _ in range(5):
        image = torch.randn(3, 5)
        for model, optimizer in ((fused, ours), (plain, usual)):
            optimizer.zero_grad()
            model(image).square().sum().backward()
            optimizer.step()
    for mine, theirs in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
