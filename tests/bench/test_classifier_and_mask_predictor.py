"""What group softmax costs beside softmax, and a mask predictor of 1203 categories beside one of 80."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lvistk.losses.group_softmax import (
    group_categories,
    group_softmax_loss,
    group_softmax_scores,
    sample_others,
)
from lvistk.losses.softmax import softmax_loss, softmax_scores
from lvistk.models.gathered_conv import GatheredConv2d

pytestmark = pytest.mark.bench
LVIS_COUNTS = [5] * 200 + [50] * 412 + [500] * 334 + [5000] * 257  # v1's groups


def medians(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each run on one thread, in turns: a busy machine slows all alike."""
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 3):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if repeat >= 3:
                times[name].append(time.process_time() - start)
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


def test_group_softmax_costs_at_most_1_15_of_softmax() -> None:
    """1024 RoIs, 1203 categories, the linear layer from 1024 features included."""
    num = len(LVIS_COUNTS)
    table = group_categories(LVIS_COUNTS)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1024, 1024, requires_grad=True)
    labels = torch.where(torch.rand(1024) < 0.25, torch.randint(num, (1024,)), num)
    plain, grouped = nn.Linear(1024, num + 1), nn.Linear(1024, table.num_channels)

    def plain_step() -> None:
        softmax_loss(plain(features), labels).backward()

    def grouped_step() -> None:
        kept = sample_others(labels, table=table, generator=generator)
        group_softmax_loss(grouped(features), labels, table=table, kept=kept).backward()

    @torch.inference_mode()
    def plain_scores() -> Tensor:
        return softmax_scores(plain(features))

    @torch.inference_mode()
    def grouped_scores() -> Tensor:
        return group_softmax_scores(grouped(features), table=table)

    train = medians({"softmax": plain_step, "group softmax": grouped_step}, 30)
    infer = medians({"softmax": plain_scores, "group softmax": grouped_scores}, 30)
    for name in train:
        print(f"{name}: step {1e3 * train[name]:.1f} ms, scores {1e3 * infer[name]:.1f} ms")
    assert train["group softmax"] <= 1.15 * train["softmax"]


def test_mask_predictor_costs_the_same_for_1203_categories_as_for_80() -> None:
    """Forward and backward for 128 RoIs of 256 x 28 x 28."""
    features = torch.randn(128, 256, 28, 28, requires_grad=True)

    def step(num_categories: int) -> Callable[[], None]:
        predictor = GatheredConv2d(256, num_categories)
        labels = torch.randint(num_categories, (128,))

        def run() -> None:
            features.grad = None
            predictor(features, labels).square().mean().backward()

        return run

    times = medians({"80": step(80), "1203": step(1203)}, 40)
    full = nn.Conv2d(256, 1203, 1)
    labels = torch.randint(1203, (128,))

    def full_step() -> None:
        features.grad = None
        full(features)[torch.arange(128), labels].square().mean().backward()

    times |= {"1203, all channels": medians({"full": full_step}, 1)["full"]}
    for name, seconds in times.items():
        print(f"mask predictor of {name} categories: {1e3 * seconds:.1f} ms")
    assert times["1203"] <= 1.05 * times["80"]
