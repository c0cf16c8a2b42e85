"""Weights of instances and of masks: what they multiply, and what they leave alone."""

from dataclasses import replace

import pytest
import torch

from tests.models.build_small import small_model, some_batch, some_targets


def losses(**changes) -> dict[str, torch.Tensor]:
    plain = [some_targets(3, seed=1), some_targets(2, seed=2)]
    targets = [replace(one, **{k: v(one) for k, v in changes.items()}) for one in plain]
    batch = some_batch((64, 96), (80, 64))
    return {name: loss.detach() for name, loss in small_model().losses(batch, targets).items()}


def test_masks_that_do_not_count() -> None:
    plain, without = losses(), losses(mask_weight=lambda _: 0.0)
    for name in plain:
        if name.startswith(("mask", "boundary")):
            assert without[name] == 0 < plain[name]
        else:
            assert without[name] == plain[name]


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_instances_weigh_positives_alone(factor: float) -> None:
    """Box and mask losses are of positives only; those of categories and objectness have negatives too."""
    plain = losses(weights=lambda one: torch.ones(len(one)))
    weighted = losses(weights=lambda one: torch.full((len(one),), factor))
    torch.testing.assert_close(plain, losses())
    for name, loss in weighted.items():
        if name in ("classifier", "rpn_objectness"):
            assert factor * plain[name] < loss < plain[name]
        else:
            torch.testing.assert_close(loss, factor * plain[name])
