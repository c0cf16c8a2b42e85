"""The step, the losses and the images that a non-finite value is blamed on."""

import pytest
import torch

from lvistk.engine.guard import FiniteGuard
from lvistk.errors import UserError

BAD = {"box": torch.tensor(float("inf")), "mask": torch.tensor(0.5)}
GOOD = {"box": torch.tensor(1.0), "mask": torch.tensor(0.5)}


def test_on_a_cpu_it_stops_at_once() -> None:
    guard = FiniteGuard(torch.device("cpu"))
    guard.watch(3, GOOD, [1, 2])
    with pytest.raises(
        UserError, match=r"^step 5: box not finite \(box inf, mask 0\.5\) on images 7, 8;"
    ):
        guard.watch(4, BAD, [7, 8])


def test_elsewhere_it_stops_at_the_next_check_and_names_the_first_step() -> None:
    guard = FiniteGuard(torch.device("cuda"))  # the values may lie anywhere
    guard.watch(0, GOOD, [1])
    guard.watch(1, BAD, [7])
    guard.watch(2, {name: value * float("nan") for name, value in GOOD.items()}, [9])
    with pytest.raises(UserError, match=r"^step 2: box not finite .* on images 7;"):
        guard.check()


def test_what_was_checked_is_forgotten() -> None:
    guard = FiniteGuard(torch.device("cuda"))
    guard.check()
    guard.watch(0, GOOD, [1])
    guard.check()
    guard.watch(1, BAD, [2])
    with pytest.raises(UserError, match="step 2"):
        guard.check()
