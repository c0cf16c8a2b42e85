"""Repeat factors and epoch plans: against slow loops, and pure in (seed, epoch)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvistk.config.train import SamplerSettings
from lvistk.data.training.samplers import (
    EpochPlan,
    RepeatFactors,
    fill_up,
    group_by_aspect,
    mix,
    rank_batch,
    repeat_factors,
    repeated_rows,
)
from tests.reference import geometry

images_with_labels = st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=40)


def factors_of(images: list[list[int]], **values) -> RepeatFactors:
    row = np.cumsum([0, *map(len, images)])
    labels = np.array([label for one in images for label in one], np.int32)
    return repeat_factors(row, labels, categories=8, settings=SamplerSettings(**values))


@settings(max_examples=100, deadline=None)
@given(images_with_labels, st.floats(0.001, 2.0))
def test_factors_equal_the_slow_twin(images: list[list[int]], threshold: float) -> None:
    expected = geometry.repeat_factors(images, threshold)
    found = factors_of(images, repeat="stochastic", repeat_fraction=threshold)
    np.testing.assert_allclose(found.images, expected)
    ceiled = factors_of(images, repeat="ceil", repeat_fraction=threshold)
    np.testing.assert_array_equal(ceiled.images, np.ceil(found.images))
    in_images = factors_of(images, repeat="stochastic", repeat_images=threshold * len(images))
    np.testing.assert_allclose(in_images.images, expected)
    assert (factors_of(images, repeat="none").images == 1).all()


def test_by_hand() -> None:
    """Category 1 in 1 of 4 images, t = 1: factor 2; category 0 in 2 of 4: 1.41; no label: 1."""
    images = [[0, 0], [0, 1, 1], [], [2]]
    found = factors_of(images, repeat="stochastic", repeat_fraction=1.0)
    np.testing.assert_allclose(found.images, [2**0.5, 2.0, 1.0, 2.0])
    assert (found.touched, found.present) == (3, 3)
    assert "every category" in (found.warning() or "")
    assert "3 of 3 categories" in found.report() and "at most 2.0" in found.report()
    few = factors_of(images, repeat="ceil", repeat_images=1.5)
    assert (few.touched, few.warning()) == (2, None)
    assert "no category" in (factors_of(images, repeat_images=1.0).warning() or "")
    assert factors_of([[], []]).warning() is None
    off = factors_of(images, repeat="none")
    assert off.warning() is None and "off" in off.report()
    assert len(factors_of([]).images) == 0 and factors_of([]).report()


def test_stochastic_rounding_is_drawn_anew_and_right_on_average() -> None:
    found = factors_of([[0], [1], [1], [1]], repeat="stochastic", repeat_fraction=1.69)
    np.testing.assert_allclose(found.images[0], 2.6)
    counts = np.array(
        [np.bincount(repeated_rows(found, seed=1, epoch=e), minlength=4) for e in range(400)]
    )
    assert set(counts[:, 0]) == {2, 3}
    np.testing.assert_allclose(counts.mean(0), found.images, atol=0.1)
    ceiled = factors_of([[0], [1], [1], [1]], repeat="ceil", repeat_fraction=1.69)
    assert np.bincount(repeated_rows(ceiled, seed=1, epoch=3)).tolist() == [3, 2, 2, 2]


def test_epochs_are_pure_and_differ() -> None:
    found = factors_of([[i % 7] for i in range(50)], repeat_fraction=0.5)
    once = [repeated_rows(found, seed=4, epoch=e) for e in range(3)]
    for e in range(3):
        np.testing.assert_array_equal(once[e], repeated_rows(found, seed=4, epoch=e))
    assert not np.array_equal(once[0], once[1])
    assert not np.array_equal(once[0], repeated_rows(found, seed=5, epoch=0))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 5))
def test_mixing_spreads_evenly(own: int, others: int, epoch: int) -> None:
    plan = mix(np.arange(own), np.arange(others), seed=2, epoch=epoch)
    assert len(plan) == own + others
    assert plan.rows[plan.sources == 0].tolist() == list(range(own))
    assert plan.rows[plan.sources == 1].tolist() == list(range(others))
    so_far = np.cumsum(plan.sources)
    ratio = np.arange(1, len(plan) + 1) * others / len(plan)
    assert np.abs(so_far - ratio).max() <= 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=70), st.integers(1, 9))
def test_groups_are_a_permutation_of_pure_batches(wide: list[bool], batch: int) -> None:
    count = len(wide)
    plan = EpochPlan(3, np.zeros(count, np.int8), np.arange(count))
    shapes = np.array(wide)
    grouped = group_by_aspect(plan, shapes, batch=batch)
    assert sorted(grouped.rows.tolist()) == list(range(count))
    pure = sum(int(n) // batch for n in (shapes.sum(), count - shapes.sum()))
    for number in range(pure):
        inside = shapes[grouped.rows[number * batch : (number + 1) * batch]]
        assert inside.all() or not inside.any()
    filled = fill_up(grouped, batch=batch)
    assert len(filled) % batch == 0 and len(filled) - count < batch
    assert filled.rows[:count].tolist() == grouped.rows.tolist()


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_each_global_batch(world: int) -> None:
    plan = EpochPlan(1, np.zeros(24, np.int8), np.random.default_rng(0).permutation(24))
    for number in range(3):
        parts = [
            rank_batch(plan, number, batch_size_per_rank=8 // world, rank=r, world_size=world)
            for r in range(world)
        ]
        keys = [key for part in parts for key in part]
        assert keys == [plan.key(k) for k in range(8 * number, 8 * number + 8)]
